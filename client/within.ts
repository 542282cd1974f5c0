/**
 * Waiting with an end, for the few calls that are made once: each has a timer of its own.
 *
 * Sessions are not among them; see deadline-sweep.ts.
 */
import type { Clock } from '../protocol/clock.ts'
import { DRAIN_MS_MAX } from '../protocol/limits.ts'
import { abortedBeforeSending, expiredBeforeSending } from './client-error.ts'
import { type CallLimits, type CallOptions, checkCallOptions } from './options.ts'

/** What `promise` says, unless the limits end the wait first. @throws DEADLINE_EXCEEDED, ABORTED: nothing was sent */
export function within<T>(promise: Promise<T>, limits: CallLimits, clock: Clock, what: string): Promise<T> {
  const { deadlineMs, deadline, signal } = limits
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => end(() => reject(abortedBeforeSending(signal as AbortSignal))) // it has just fired
    const end = (settle: () => void): void => {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      settle()
    }
    const timer = clock.after(Math.max(1, deadline - clock.now()), () =>
      end(() => reject(expiredBeforeSending(deadlineMs, what))),
    )
    signal?.addEventListener('abort', onAbort)
    promise.then(
      (value) => end(() => resolve(value)),
      (error: unknown) => end(() => reject(error)),
    )
  })
}

/** An aborted signal does not refuse a close: it makes it a short one. @throws VALUE_INVALID */
export function checkClosing(options: CallOptions): number {
  return checkCallOptions({ deadlineMs: options.deadlineMs }, DRAIN_MS_MAX)
}

/** Resolves when `drain` does, when the deadline passes or when the signal is aborted. @throws VALUE_INVALID */
export function closeWithin(options: CallOptions, clock: Clock, drain: () => Promise<unknown>): Promise<void> {
  const { signal } = options
  const deadlineMs = checkClosing(options)
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = clock.after(deadlineMs, end)
    signal?.addEventListener('abort', end)
    if (signal?.aborted) end()
    void drain().then(end)
  })
}

/** Waits so long. @throws ABORTED */
export function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel()
      reject(abortedBeforeSending(signal as AbortSignal)) // it has fired
    }
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
    if (signal?.aborted) onAbort()
  })
}
