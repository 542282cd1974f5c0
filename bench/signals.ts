/** What a bench does when it is told to stop: its processes end, its scratch directories go, its exit code names the signal. */
import { killChildren } from './child-process.ts'
import type { Scratch } from './scratch.ts'

/** @param scratches looked at when the signal comes */
export function removeOnSignal(scratches: readonly Scratch[], before: () => void = () => {}): void {
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.once(signal, () => {
      before()
      killChildren()
      for (const scratch of scratches) {
        scratch.remove()
        process.stderr.write(`${signal}: stopped, ${scratch.path} is removed\n`)
      }
      process.exit(128 + number)
    })
  }
}
