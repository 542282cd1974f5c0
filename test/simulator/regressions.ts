/** Seeds that have failed once, with what they had found: they are run with every `npm test`. */

export const REGRESSIONS: readonly { readonly seed: number; readonly what: string }[] = [
  { seed: 54, what: 'a channel that could not be opened, for the client lost its node, was no ClientError' },
  { seed: 395, what: 'a session that came back over another connection named a master whose disk was replaced since' },
  { seed: 1236, what: 'a session told lost was back, for the next master had never met the history that lost it' },
]
