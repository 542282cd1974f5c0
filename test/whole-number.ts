/** Numbers on the command lines of the long suites (torture, simulator, fuzz), for commander. */
import { InvalidArgumentError } from 'commander'

/** At most nine digits. @throws InvalidArgumentError */
export function wholeNumber(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number of at most nine digits')
}

/** How many: none would be a check that checks nothing. @throws InvalidArgumentError */
export function atLeastOne(text: string): number {
  const number = wholeNumber(text)
  if (number > 0) return number
  throw new InvalidArgumentError('expected 1 or more')
}
