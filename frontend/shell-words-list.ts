// Splitting text into words while it is being expanded.
import { isSpace } from './go-text.ts';

/** Words in the making: ordinary blanks end a word, quoted and escaped characters never do. */
export class WordList {
  private readonly done: string[] = [];
  private word = '';
  private inWord = false;

  add(text: string): void {
    for (const char of text) {
      if (!isSpace(char)) this.addRaw(char);
      else if (this.inWord && this.word !== '') this.flush();
    }
  }

  addRaw(text: string): void {
    this.word += text;
    this.inWord = true;
  }

  finish(): readonly string[] {
    if (this.word !== '') this.flush();
    return this.done;
  }

  private flush(): void {
    this.done.push(this.word);
    this.word = '';
    this.inWord = false;
  }
}

/** Up to and over `stop`, or to the end without one. */
export interface ReadRequest {
  readonly stop: string | undefined;
  readonly rawEscapes: boolean;
}

/** What was read, and the words in it. */
export interface Read {
  readonly value: string;
  readonly words: WordList;
}

/** Something that may hold substitutions: what is inside of them is asked for. */
export type Part = Generator<ReadRequest, string, Read | undefined>;
