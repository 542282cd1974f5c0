/** Seeds that have failed once, with what they had found: they are run with every `npm test`. */

export const REGRESSIONS: readonly { readonly seed: number; readonly what: string }[] = []
