import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ApiError, errorCodes } from '#kernel'
import { referencePages } from './docs.ts'

const openapi_file = join(import.meta.dirname, '..', '..', '..', 'generated', 'openapi.json')
const reference = referencePages({ title: 'Bursar <test>', openapi_file })
const pages = new Map(reference.map(page => [page.path, page]))
const body = async (path: string) => String((await pages.get(path)?.render(''))?.body)

test('the document is served as it was made', async () => {
  expect(await body('/openapi.json')).toBe(readFileSync(openapi_file, 'utf8'))
})

test('the page names no other host, and its policy lets nothing out', async () => {
  const html = await body('/docs')
  expect(html).not.toMatch(/https?:\/\//)
  expect(html).toContain("default-src 'self'")
  expect(html).toContain('Bursar &lt;test&gt;')
})

test('the script comes from the package on the first request', async () => {
  const page = await pages.get('/docs/scalar.js')?.render('')
  expect(page?.content_type).toContain('javascript')
  expect(page?.body.length).toBeGreaterThan(1_000_000)
  expect(String(page?.body)).toContain('createApiReference')
})

test('doc_url of every error leads to its row', async () => {
  const html = await body('/docs/errors')
  for (const code of Object.keys(errorCodes) as (keyof typeof errorCodes)[]) {
    const [path, anchor] = new ApiError(code).body(null).error.doc_url.split('#')
    expect(path).toBe('/docs/errors')
    expect(html).toContain(`<tr id="${anchor}">`)
  }
})
