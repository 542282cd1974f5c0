/** Seeds that have failed once, with what they had found: they are run with every `npm test`. */

export const REGRESSIONS: readonly { readonly seed: number; readonly what: string }[] = [
  { seed: 54, what: 'a channel that could not be opened, for the client lost its node, was no ClientError' },
]
