// A Dockerfile as typed instructions: what was written, not yet expanded, each with its place in the file.
import type { SourceRange } from '../solver/errors.ts';

/** A heredoc of one instruction, in the order of the `<<` words on its line. */
export interface Heredoc {
  /** The word without quotes, dash and file descriptor. */
  readonly name: string;
  /** False when the word was quoted: then the body is literal. */
  readonly expand: boolean;
  /** True for `<<-`: leading tabs were stripped. */
  readonly chomp: boolean;
  readonly fileDescriptor: number;
  readonly body: string;
  /** The body as written, tabs of `<<-` included: what a shell gets that reads the heredoc itself. */
  readonly rawBody: string;
}

/** One pair of ENV or LABEL as written, quotes and variables included. */
export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** True for `ENV key value`, the form without `=`. */
  readonly isLegacy: boolean;
}

/** Common to all instructions. `original` is the text on one line, continuations joined, as progress and errors show it. */
interface InstructionBase {
  /** The keyword as written, such as `run` or `RUN`. */
  readonly keyword: string;
  readonly range: SourceRange;
  readonly original: string;
  /** Comment lines directly above, without `#`. */
  readonly comments: readonly string[];
  readonly heredocs: readonly Heredoc[];
}

/** A command in JSON (exec) form, or in shell form: then `args` is always one text, empty for a bare keyword. */
export interface CommandLine {
  readonly form: 'exec' | 'shell';
  readonly args: readonly string[];
}

/** `image` and `platform` are not expanded: global ARGs may be in them. */
export interface FromInstruction extends InstructionBase {
  readonly kind: 'FROM';
  readonly image: string;
  /** Lower-cased; undefined without AS. `nameAsWritten` keeps the case. */
  readonly name: string | undefined;
  readonly nameAsWritten: string | undefined;
  /** The AS keyword as written. */
  readonly asKeyword: string | undefined;
  readonly platform: string | undefined;
}

/** All that one ARG declares, in its order: a later default may use an earlier name. */
export interface ArgInstruction extends InstructionBase {
  readonly kind: 'ARG';
  /** A default of undefined means none was written. */
  readonly args: readonly { readonly key: string; readonly value: string | undefined }[];
}

/** The pairs are expanded with the environment from before the instruction: they do not see each other. */
export interface EnvInstruction extends InstructionBase {
  readonly kind: 'ENV';
  readonly pairs: readonly KeyValue[];
}

/** The last of two pairs with one key wins. */
export interface LabelInstruction extends InstructionBase {
  readonly kind: 'LABEL';
  readonly pairs: readonly KeyValue[];
}

/** What flags say is judged when the step is converted: undefined or empty where they were not given. */
export interface RunInstruction extends InstructionBase {
  readonly kind: 'RUN';
  readonly command: CommandLine;
  /** The values of `--mount=`, unparsed: their parts are expanded before they are read. */
  readonly mounts: readonly string[];
  readonly network: string | undefined;
  readonly security: string | undefined;
  readonly devices: readonly string[];
}

interface CopyOrAdd extends InstructionBase {
  /** Without the heredoc words; those are in `heredocs`. */
  readonly sources: readonly string[];
  readonly dest: string;
  readonly chown: string | undefined;
  readonly chmod: string | undefined;
  readonly link: boolean;
  readonly excludes: readonly string[];
}

/** `from` is a stage, a named context or an image, never expanded; undefined for the build context. */
export interface CopyInstruction extends CopyOrAdd {
  readonly kind: 'COPY';
  readonly from: string | undefined;
  readonly parents: boolean;
}

/** The flags that only ADD has; undefined where they were not given. */
export interface AddInstruction extends CopyOrAdd {
  readonly kind: 'ADD';
  readonly checksum: string | undefined;
  readonly keepGitDir: boolean | undefined;
  readonly unpack: boolean | undefined;
}

/** The last one of a stage counts. */
export interface CmdInstruction extends InstructionBase {
  readonly kind: 'CMD';
  readonly command: CommandLine;
}

/** Resets the CMD of the base image, unless the stage has one of its own. */
export interface EntrypointInstruction extends InstructionBase {
  readonly kind: 'ENTRYPOINT';
  readonly command: CommandLine;
}

/** What shell forms run with from here on; JSON alone is allowed, and it is not empty. */
export interface ShellInstruction extends InstructionBase {
  readonly kind: 'SHELL';
  readonly shell: readonly string[];
}

/** A relative path goes on from the one before; the directory is made. */
export interface WorkdirInstruction extends InstructionBase {
  readonly kind: 'WORKDIR';
  readonly path: string;
}

/** A name or number, perhaps with a group after a colon; looked up when a step runs. */
export interface UserInstruction extends InstructionBase {
  readonly kind: 'USER';
  readonly user: string;
}

/** Goes into the config alone: nothing is published. */
export interface ExposeInstruction extends InstructionBase {
  readonly kind: 'EXPOSE';
  /** Words as written, sorted by bytes as BuildKit does; expanded and split later. */
  readonly ports: readonly string[];
}

/** Goes into the config alone: later steps may still write below the paths. */
export interface VolumeInstruction extends InstructionBase {
  readonly kind: 'VOLUME';
  readonly paths: readonly string[];
}

/** A name or number, judged after it is expanded. */
export interface StopsignalInstruction extends InstructionBase {
  readonly kind: 'STOPSIGNAL';
  readonly signal: string;
}

/** How the image's containers are probed; it goes into the config alone. */
export interface HealthcheckInstruction extends InstructionBase {
  readonly kind: 'HEALTHCHECK';
  /** Undefined for `HEALTHCHECK NONE`. */
  readonly command: CommandLine | undefined;
  /** Nanoseconds; 0 when not given. */
  readonly intervalNs: number;
  readonly timeoutNs: number;
  readonly startPeriodNs: number;
  readonly startIntervalNs: number;
  readonly retries: number;
}

/** Takes effect in builds FROM the image, not in this one; only the keyword of its trigger is checked here. */
export interface OnbuildInstruction extends InstructionBase {
  readonly kind: 'ONBUILD';
  /** The trigger's text, verbatim, as the image config stores it. */
  readonly expression: string;
}

/** Deprecated, and warned of: the config's author. */
export interface MaintainerInstruction extends InstructionBase {
  readonly kind: 'MAINTAINER';
  readonly maintainer: string;
}

/** Switched over by `kind`. */
export type Instruction =
  | FromInstruction
  | ArgInstruction
  | EnvInstruction
  | LabelInstruction
  | RunInstruction
  | CopyInstruction
  | AddInstruction
  | CmdInstruction
  | EntrypointInstruction
  | ShellInstruction
  | WorkdirInstruction
  | UserInstruction
  | ExposeInstruction
  | VolumeInstruction
  | StopsignalInstruction
  | HealthcheckInstruction
  | OnbuildInstruction
  | MaintainerInstruction;

/** `# syntax=`, `# escape=`, `# check=`: value as written and its line. */
export interface Directive {
  readonly name: 'syntax' | 'escape' | 'check';
  readonly value: string;
  readonly range: SourceRange;
}

/** A whole Dockerfile. ARGs before the first FROM are in `instructions` too. */
export interface ParsedDockerfile {
  readonly directives: readonly Directive[];
  readonly escape: '\\' | '`';
  readonly instructions: readonly Instruction[];
  /** Warnings that only the text shows, such as an empty continuation line. */
  readonly warnings: readonly LintWarning[];
}

/** See https://docs.docker.com/reference/build-checks/ */
export interface LintWarning {
  readonly rule: string;
  readonly description: string;
  readonly url: string;
  readonly detail: string;
  readonly range: SourceRange;
}
