/**
 * The browsable reference: `/openapi.json`, `/docs` (Scalar over that document) and `/docs/errors` (every error code,
 * where doc_url points). Nothing is asked of anybody else: no fonts, no telemetry, no proxy, and a content security
 * policy that would stop a browser from it even if the bundle wanted to.
 *
 * Scalar's bundle is 4 MB of text, taken out of its package by a process of its own when somebody first opens the
 * reference: a server whose reference nobody reads pays nothing, any other no more than the text.
 */
import { hash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type ErrorCode, errorCodes } from '#kernel'
import type { Page, PageContent } from './server.ts'

const HTML = 'text/html; charset=utf-8'

const run = promisify(execFile)

export interface Reference {
  title: string
  /** The text of the OpenAPI document. It is kept, because making it takes longer than all the rest of a start. */
  openapi_file: string
}

/** The pages of the reference, to be given to the server. */
export function referencePages({ title, openapi_file }: Reference): Page[] {
  let openapi: PageContent | undefined
  const docs = { content_type: HTML, body: docsPage(title) }
  const errors = { content_type: HTML, body: errorsPage() }
  const home = { content_type: HTML, body: HOME }
  return [
    {
      path: '/openapi.json',
      render: () =>
        (openapi ??= {
          content_type: 'application/json; charset=utf-8',
          body: readFileSync(openapi_file),
        }),
    },
    { path: '/', render: () => home },
    { path: '/docs', render: () => docs },
    { path: '/docs/', render: () => home },
    { path: '/docs/errors', render: () => errors },
    { path: '/docs/scalar.js', render: () => scalarBundle() },
  ]
}

/** Whoever opens the API in a browser wants to read about it. */
const HOME = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=/docs">
<title>Bursar</title>
<p>The API answers below <code>/v1</code>. Its <a href="/docs">reference</a> is at /docs.</p>
</html>
`

const configuration = {
  url: '/openapi.json',
  withDefaultFonts: false,
  telemetry: false,
  // Scalar's own services: a chat, a hosted client, a developer toolbar. The reference stays on this machine.
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: 'never',
}

function docsPage(title: string): string {
  const start = `Scalar.createApiReference('#reference', ${JSON.stringify(configuration)})`
  const digest = hash('sha256', start, 'base64')
  const policy = [
    "default-src 'self'",
    `script-src 'self' 'sha256-${digest}'`,
    // The bundle brings its styles and small images inside itself.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self' data:",
    "worker-src 'self' blob:",
  ].join('; ')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escaped(title)} API reference</title>
</head>
<body>
<noscript><p>The reference needs JavaScript. Its source is <a href="/openapi.json">openapi.json</a>;
the error codes are <a href="/docs/errors">a plain page</a>.</p></noscript>
<div id="reference"></div>
<script src="/docs/scalar.js"></script>
<script>${start}</script>
</body>
</html>
`
}

let bundle: Promise<PageContent> | undefined

function scalarBundle(): Promise<PageContent> {
  bundle ??= loadBundle().catch((error: unknown) => {
    // The next reader tries again.
    bundle = undefined
    throw error
  })
  return bundle
}

/** Three times what the bundle has today; it comes from a pinned package. */
const BUNDLE_BYTES_MAX = 16_777_216
/** It takes half a second; a machine that is busy is given time. */
const BUNDLE_TIMEOUT_MS = 30_000

async function loadBundle(): Promise<PageContent> {
  const program = fileURLToPath(new URL('./docs-bundle.ts', import.meta.url))
  const { stdout } = await run(process.execPath, [program], {
    encoding: 'buffer',
    maxBuffer: BUNDLE_BYTES_MAX,
    timeout: BUNDLE_TIMEOUT_MS,
    // It needs nothing of ours, least of all the settings and secrets in our environment.
    env: {},
  })
  return { content_type: 'text/javascript; charset=utf-8', body: stdout }
}

/** Every code with an anchor, by status: what went wrong and what to do about it. */
function errorsPage(): string {
  const rows = (Object.keys(errorCodes) as ErrorCode[])
    .map(code => ({ code, ...errorCodes[code] }))
    .sort((a, b) => a.status - b.status || (a.code < b.code ? -1 : 1))
    .map(
      ({ code, status, type, message }) =>
        `<tr id="${code}"><td><a href="#${code}"><code>${code}</code></a></td><td>${status}</td>` +
        `<td><code>${type}</code></td><td>${escaped(message)}</td></tr>`,
    )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Error codes</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem; border-bottom: 1px solid #8884 }
tr:target { outline: 2px solid Highlight }
</style>
</head>
<body>
<h1>Error codes</h1>
<p>Every error is <code>{ "error": { "type", "code", "message", "param", "request_id", "doc_url" } }</code>.
Programs branch on <code>code</code>; <code>message</code> is for people and may be reworded;
<code>param</code> is the path of the parameter at fault. <a href="/docs">Back to the reference.</a></p>
<table>
<thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Type</th>
<th scope="col">What to do</th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
</body>
</html>
`
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escaped = (text: string): string => text.replaceAll(/[&<>"]/g, character => ENTITIES[character] ?? '')
