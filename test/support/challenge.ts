/** The customer on the bank's page: passes or fails the challenge of an intent, as a browser would. */
import type { Json } from './testing.ts'

export async function answerChallenge(intent: Json, result: 'complete' | 'fail'): Promise<void> {
  const { url } = intent.next_action.redirect_to_url
  const page = await (await fetch(url)).text()
  const action = new RegExp(`action="([^"]*${result}[^"]*)"`).exec(page)?.[1]
  await fetch(action ? new URL(action.replaceAll('&amp;', '&'), url) : `${url}/${result}`, {
    method: 'POST',
    redirect: 'manual',
  })
}
