/**
 * What every test of a failing call looks at: the code, and which of the two things is true of the session.
 */
import { ClientError, type ErrorCode, type Outcome } from '../../client/client.ts'

interface Asserts {
  ok(value: unknown, message: string): unknown
  equal(found: unknown, expected: unknown, message: string): unknown
  fail(message: string): unknown
}

/** Waits for the failure of `call` (a promise, or a function that throws) and returns it. */
export async function expectError(
  t: Asserts,
  call: Promise<unknown> | (() => unknown),
  code: ErrorCode,
  outcome: Outcome = 'not-applied',
): Promise<ClientError> {
  try {
    await (typeof call === 'function' ? call() : call)
  } catch (error) {
    if (!(error instanceof ClientError)) throw error
    t.equal(`${error.code} ${error.outcome}`, `${code} ${outcome}`, `${code}: ${error.message}`)
    t.ok(/^Cannot .+: .+[^.]$/.test(error.message), `the text says what and why: ${error.message}`)
    return error
  }
  t.fail(`expected ${code}, found success`)
  throw new Error(`expected ${code}, found success`)
}
