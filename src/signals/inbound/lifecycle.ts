/** What becomes of a piece of news. Any of them can be replayed: its handler bears being asked twice. */
import { lifecycle } from '#kernel'

export const inboundLifecycle = lifecycle({
  waiting: { apply: 'applied', recognise: 'already', ignore: 'ignored', fail: 'waiting', give_up: 'dead' },
  // It changed something of ours.
  applied: { replay: 'waiting' },
  // We knew: an answer or other news was quicker.
  already: { replay: 'waiting' },
  ignored: { replay: 'waiting' },
  dead: { replay: 'waiting' },
})

export type InboundStatus = (typeof inboundLifecycle.states)[number]
