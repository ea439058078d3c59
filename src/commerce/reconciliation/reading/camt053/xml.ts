/**
 * XML as a stream of elements, named without their prefixes. Refused: whatever is not well-formed, a DOCTYPE (so that
 * there are no entities but XML's own), and anything that grows without an end.
 */
import { SaxesParser } from 'saxes'
import type { Sink } from '../sink.ts'

/** CAMT nests 14 deep; deeper is no statement. */
const DEPTH_MOST = 64
/** The longest text of CAMT has 500 characters; signatures and envelopes have more. */
const TEXT_LENGTH_MOST = 64 * 1024
/** A tag, comment or text that does not end in so many characters will not. */
const SILENCE_MOST = 1024 * 1024

export interface Elements {
  open(name: string, attribute: (name: string) => string | undefined, line: number): void
  close(name: string, text: string, line: number): void
}

export class XmlStream {
  readonly #parser = new SaxesParser()
  readonly #elements: Elements
  readonly #sink: Sink
  readonly #names: string[] = []
  #text = ''
  #silence = 0
  #has_root = false

  constructor(elements: Elements, sink: Sink) {
    this.#elements = elements
    this.#sink = sink
    const parser = this.#parser
    // Six handlers and no more: saxes sets them by computed names, and with an eighth V8 makes the parser a dictionary,
    // ten times as slow. So comments are not heard, and a megabyte of them is refused as anything else is.
    parser.on('error', error =>
      this.#fail(`this is no well-formed XML: ${error.message.replace(/^\S*\d+:\d+: /, '')}`),
    )
    parser.on('doctype', () => this.#fail('the XML has a DOCTYPE, which no statement needs'))
    parser.on('opentag', ({ name, attributes }) => this.#open(name, attributes))
    parser.on('closetag', () => this.#close())
    parser.on('text', text => this.#add(text))
    parser.on('cdata', text => this.#add(text))
  }

  get line(): number {
    return this.#parser.line
  }

  write(text: string): void {
    this.#silence += text.length
    this.#parser.write(text)
    if (this.#silence > SILENCE_MOST)
      this.#fail('a tag, text or comment is longer than 1 MiB: this is no statement')
  }

  end(): void {
    if (!this.#has_root || this.#names.length > 0) {
      this.#fail(`the XML is cut off${this.#names.length > 0 ? ` inside ${this.#names.at(-1)}` : ''}`)
    }
    this.#parser.close()
  }

  #open(name: string, attributes: Record<string, string>) {
    this.#heard()
    this.#has_root = true
    this.#text = ''
    const local = withoutPrefix(name)
    this.#names.push(local)
    if (this.#names.length > DEPTH_MOST) this.#fail(`the XML is nested deeper than ${DEPTH_MOST}`)
    this.#elements.open(
      local,
      wanted => (Object.hasOwn(attributes, wanted) ? attributes[wanted] : undefined),
      this.line,
    )
  }

  #close() {
    this.#heard()
    const name = this.#names.pop() ?? ''
    this.#elements.close(name, this.#text.trim(), this.line)
    this.#text = ''
  }

  #add(text: string) {
    this.#heard()
    this.#text += text
    if (this.#text.length > TEXT_LENGTH_MOST) this.#fail('an element has more than 64 KiB of text')
  }

  #heard() {
    this.#silence = 0
  }

  #fail(reason: string): never {
    return this.#sink.fail(this.line, reason)
  }
}

const withoutPrefix = (name: string) => name.slice(name.indexOf(':') + 1)
