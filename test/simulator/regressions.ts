/**
 * Seeds that have failed once, with what they had found: they are run with every `npm test`. Those from before seeds had a
 * focus are runs of another kind now; what they had found is in checkers.test.ts and test/client/close.test.ts.
 */

export const REGRESSIONS: readonly { readonly seed: number; readonly what: string }[] = []
