/** HTML by a template that escapes whatever is put into it: nobody has to remember to. */

/** Markup that was made here, by the template. */
export interface Html {
  readonly markup: string
}

export type Content = Html | string | number | bigint | null | readonly Content[]

export const html = (strings: TemplateStringsArray, ...values: readonly Content[]): Html => ({
  markup: strings.reduce((all, text, i) => `${all}${text}${i < values.length ? written(values[i]) : ''}`, ''),
})

function written(content: Content | undefined): string {
  if (content === null || content === undefined) return ''
  if (typeof content === 'string') return escapeText(content)
  if (typeof content === 'object') {
    return 'markup' in content ? content.markup : content.map(written).join('')
  }
  return String(content)
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Safe as the text of an element and as a quoted attribute. */
const escapeText = (text: string): string =>
  visible(text).replace(/[&<>"']/g, character => ENTITIES[character] ?? character)

/**
 * Characters that nobody sees, or that turn the order of what stands around them (the trick of "Trojan Source"), are
 * shown by name: two ids that look alike must not be different.
 */
export const visible = (text: string): string =>
  text.replaceAll(
    /[\p{Cc}\p{Cs}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu,
    character => {
      const code = character.codePointAt(0) ?? 0
      // The control pictures of Unicode: ␀ to ␟, and ␡.
      if (code < 0x20) return String.fromCodePoint(0x2400 + code)
      if (code === 0x7f) return '\u2421'
      return `\\u${code.toString(16).padStart(4, '0')}`
    },
  )
