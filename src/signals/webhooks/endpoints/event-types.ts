/** Which events an endpoint or a replay wants: all, those of a resource, or single types. */
import { z } from 'zod'
import { eventTypes, isEventType } from '#events'
import { refuse } from '#http'

const ALL = '*'
const OF_RESOURCE = '.*'

/** More would be `*`, or a mistake: there are about fifty types. */
const TYPES_MOST = 100
/** Longer than any; a longer one is not looked at. */
const LENGTH_MAX = 100

/** `charge`, `charge.dispute`: what stands before a type's dots. */
const resources = new Set(
  Object.keys(eventTypes).flatMap(type => {
    const words = type.split('.')
    return words.slice(1).map((_, i) => words.slice(0, i + 1).join('.'))
  }),
)

const isKnown = (wanted: string): boolean =>
  wanted === ALL ||
  isEventType(wanted) ||
  (wanted.endsWith(OF_RESOURCE) && resources.has(wanted.slice(0, -OF_RESOURCE.length)))

/** `*`, `charge.*`, `charge.succeeded`; each once. */
export const wantedTypes = z
  .array(
    z
      .string()
      .max(LENGTH_MAX)
      .check(payload => {
        if (isKnown(payload.value)) return
        refuse(
          payload,
          'event_type_unknown',
          'must be "*", a resource such as "charge.*", or a type such as "charge.succeeded".',
        )
      })
      .meta({ examples: ['charge.succeeded'] }),
  )
  .min(1)
  .max(TYPES_MOST)
  .transform(wanted => [...new Set(wanted)])
  .describe('"*", resources ("charge.*") or single types ("charge.succeeded").')
