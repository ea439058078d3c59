/** What each class of failure means, and what usually helps: for the people who keep a receiver, not for us. */
import type { Failure } from '../types.ts'

interface Words {
  /** Ends the sentence "The last try failed: …". */
  what: string
  /** A sentence. */
  help: string
}

export const failureWords: Record<Failure | 'expired', Words> = {
  dns: {
    what: 'the name of the server could not be resolved',
    help: 'Check that the domain has not expired and that its DNS records are there.',
  },
  connect: {
    what: 'no connection to the server came about',
    help: 'Check that it runs, that its port is open, and that no firewall drops our connections.',
  },
  tls: {
    what: 'no encrypted connection came about',
    help: 'Check its certificate: whether it has expired, is for this name, and is sent with its chain.',
  },
  timeout: {
    what: 'no answer came in time',
    help: 'Answer with 2xx as soon as the event is stored, and do the work afterwards.',
  },
  protocol: {
    what: 'what came back was not an answer in HTTP',
    help: 'Check that the port speaks HTTP and that nothing in front of it mangles answers.',
  },
  rejected: {
    what: 'the server answered that the request is wrong (4xx)',
    help: 'Check the path, and whether the signature is verified with the current secret and over the raw body.',
  },
  failed: {
    what: 'the server answered that it failed (5xx)',
    help: 'Its own log says why; an error while an event is handled is the usual cause.',
  },
  throttled: {
    what: 'the server answered that it gets too much (429)',
    help: 'We send more slowly by ourselves; set max_per_second to what it can take.',
  },
  gone: {
    what: 'the server answered that the endpoint is gone for good (410)',
    help: 'If that is true, delete the endpoint or give it its new URL. If it is not, mend the answer.',
  },
  redirected: {
    what: 'the server answered with a redirect (3xx), and we follow none',
    help: 'Give the endpoint the URL that it redirects to.',
  },
  blocked: {
    what: 'the name leads to an address that may not be sent to, a private one for example',
    help: 'Give the endpoint a public address, or ask whoever runs this Bursar to allow the network.',
  },
  payload: {
    what: 'we could not put the delivery together',
    help: 'This is ours to mend: tell whoever runs this Bursar.',
  },
  expired: {
    what: 'the event waited too long to be sent',
    help: 'Replay it when the endpoint takes deliveries again.',
  },
}
