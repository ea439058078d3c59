/** Requests as Stripe takes them: form-encoded, nested by brackets (`a[b][0]=c`), in the body or in the query. */

export type Params = { [name: string]: string | Params }

/** Deeper than Stripe nests, and no names that objects have of themselves. */
const DEPTH_MOST = 8
const NAME = /^(?!__proto__$)[A-Za-z0-9_.-]{1,100}$/

export function parseForm(text: string): Params {
  const params: Params = {}
  for (const [key, value] of new URLSearchParams(text)) {
    const path = key.split(/\]?\[|\]$/).filter(part => part !== '')
    if (path.length > DEPTH_MOST || !path.every(part => NAME.test(part)))
      throw new Error(`unreadable: ${key}`)
    let at = params
    for (const part of path.slice(0, -1)) {
      const next = at[part]
      at = typeof next === 'object' ? next : (at[part] = {})
    }
    at[path.at(-1) as string] = value
  }
  return params
}

export const textOf = (params: Params, name: string): string | undefined => {
  const value = params[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** `a[x]=1&a[y]=2` as an object of texts. */
export const textsOf = (params: Params, name: string): Record<string, string> => {
  const value = params[name]
  return typeof value === 'object'
    ? Object.fromEntries(
        Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
      )
    : {}
}

/** `a[0]=x&a[1]=y` as a list. */
export const listOf = (params: Params, name: string): string[] => Object.values(textsOf(params, name))
