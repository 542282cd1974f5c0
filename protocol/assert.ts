/**
 * Assertions for invariants of our own. Always on; nobody catches an `InvariantError`: the process logs it and exits.
 * Bytes from a network, a disk, a configuration or a command line never reach an assertion: they get a `TravertineError`.
 */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
  readonly state: Readonly<Record<string, unknown>>

  constructor(message: string, state: Readonly<Record<string, unknown>>) {
    super(`${message} ${JSON.stringify(state, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`)
    this.state = state
  }
}

export function assert(
  condition: boolean,
  message: string,
  state: Readonly<Record<string, unknown>> = {},
): asserts condition {
  if (!condition) throw new InvariantError(message, state)
}

/** Closes a `switch` over a closed union: the compiler refuses a forgotten case. */
export function assertNever(value: never): never {
  throw new InvariantError('a closed union has an unknown member', { value })
}
