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
