/**
 * Judges the logs of a cluster by what its writers were told. Knows nothing of watermarks, of roles or of our own code:
 * it gets frames as a naive reader found them in the files, and the history of answers.
 *
 * Called when faults are over and every log is level. Rules, each with a test in which it must object (checker.test.ts):
 *
 *   stored        what was answered STORED is in the master's log, in the term and epoch that the answer named, or in an
 *                 earlier one where the answer came over another connection; nothing was told lost, as no disk was lost
 *   propagated    what was answered PROPAGATED is in the logs of all counted nodes, likewise
 *   twice         no session is in a log twice
 *   not-applied   what was answered "certainly not applied" is in no log
 *   content       a session in a log is one that was sent, on its channel, entry by entry
 *   half-epoch    epochs are all or nothing: nothing of an epoch that is not whole stands before a whole one
 *   place         sessions stand between the seal of the epoch before and the seal of their own; epochs ascend
 *   dependency    a session is in no earlier epoch than the one it depends on, and not there without it
 *   time          a session sent after another one was answered is in no earlier epoch than that one
 *   two-terms     no epoch belongs to two terms, in answers or in logs
 *   one-history   logs are the same bytes as far as both reach, and terms the same terms
 */
import type { Level } from '../../client/client.ts'
import type { NaiveFrame, NaiveLog } from '../sim/naive-reader.ts'
import { type Answer, nameOf, type SessionContent, type SessionId, type SessionRecord } from './client-history.ts'
import { contentOf } from './session-content.ts'

export type Rule =
  | 'stored'
  | 'propagated'
  | 'twice'
  | 'not-applied'
  | 'content'
  | 'half-epoch'
  | 'place'
  | 'dependency'
  | 'time'
  | 'two-terms'
  | 'one-history'

export interface Finding {
  readonly rule: Rule
  readonly text: string
}

export interface NodeLog {
  readonly name: string
  readonly log: NaiveLog
}

export interface Evidence {
  readonly sessions: readonly SessionRecord[]
  readonly master: NodeLog
  /** Replicas that count for PROPAGATED. */
  readonly replicas: readonly NodeLog[]
}

/** A session as it stands in one log. */
interface LoggedSession {
  readonly content: SessionContent
  readonly frame: NaiveFrame
  readonly isWhole: boolean
}

type Report = (rule: Rule, text: string) => void

export function check({ sessions, master, replicas }: Evidence): Finding[] {
  const findings: Finding[] = []
  const report: Report = (rule, text) => findings.push({ rule, text })
  const sent = new Map(sessions.map((record) => [nameOf(record), record]))
  for (const node of [master, ...replicas]) {
    const logged = readSessions(node, report)
    checkContent(node, logged, sent, report)
    checkEpochs(node, report)
    checkOrder(node, logged, sessions, report)
    checkAnswers(node, logged, { sessions, level: node === master ? 'stored' : 'propagated' }, report)
  }
  checkTerms(sessions, [master, ...replicas], report)
  for (const replica of replicas) checkOneHistory(master, replica, report)
  return findings
}

/**
 * What a node's files hold at any moment, also right after a kill: whatever was answered before is there. Nothing else
 * can be said of a log that is not level yet.
 *
 * @param answered sessions as they stood before the files were read
 */
export function checkAnswered(node: NodeLog, answered: readonly SessionRecord[], level: Level): Finding[] {
  const findings: Finding[] = []
  const report: Report = (rule, text) => findings.push({ rule, text })
  checkAnswers(node, readSessions(node, report), { sessions: answered, level }, report)
  return findings
}

function readSessions({ name, log }: NodeLog, report: Report): Map<string, LoggedSession> {
  const found = new Map<string, LoggedSession>()
  const whole = new Set(log.whole)
  for (const frame of log.frames.flat()) {
    if (frame.kind !== 1) continue
    const content = contentOf(frame)
    if (typeof content === 'string') {
      report('content', `${name} has a session at ${placeOf(frame)}: ${content}`)
      continue
    }
    const id = nameOf(content)
    const other = found.get(id)
    if (other !== undefined)
      report('twice', `${name} has session ${id} at ${placeOf(other.frame)} and at ${placeOf(frame)}`)
    found.set(id, { content, frame, isWhole: whole.has(frame.epoch) })
  }
  return found
}

function checkContent(
  { name }: NodeLog,
  logged: ReadonlyMap<string, LoggedSession>,
  sent: ReadonlyMap<string, SessionRecord>,
  report: Report,
): void {
  for (const [id, { content, frame }] of logged) {
    const record = sent.get(id)
    const same =
      record !== undefined &&
      record.channel === frame.channel &&
      record.entries === content.entries &&
      record.valueBytes === content.valueBytes &&
      isSame(record.dependsOn, content.dependsOn)
    if (!same) report('content', `${name} has session ${id} at ${placeOf(frame)}, which nobody has sent like that`)
    const refused = record?.stored === undefined && record?.failed?.outcome === 'not-applied'
    if (refused) report('not-applied', `${name} has session ${id} at ${placeOf(frame)}, told as ${record.failed?.code}`)
  }
}

/** Epochs of one node: all or nothing, and each in its place on every channel. */
function checkEpochs({ name, log }: NodeLog, report: Report): void {
  const whole = new Set(log.whole)
  const lastWhole = log.whole.at(-1) ?? 0n
  for (const frames of log.frames) {
    let sealed = 0n
    for (const frame of frames) {
      if (frame.kind !== 1 && frame.kind !== 2) continue
      if (frame.epoch <= sealed)
        report('place', `${name} has epoch ${frame.epoch} at ${placeOf(frame)}, behind the seal of epoch ${sealed}`)
      if (frame.epoch < lastWhole && !whole.has(frame.epoch))
        report('half-epoch', `${name} has a part of epoch ${frame.epoch} at ${placeOf(frame)}, and ${lastWhole} whole`)
      if (frame.kind === 2) sealed = frame.epoch
    }
    checkSealed(name, frames, whole, report)
  }
}

/** A whole epoch that has a session on this channel has its seal behind it here. */
function checkSealed(name: string, frames: readonly NaiveFrame[], whole: ReadonlySet<bigint>, report: Report): void {
  const seals = new Set(frames.filter(({ kind }) => kind === 2).map(({ epoch }) => epoch))
  for (const frame of frames) {
    if (frame.kind === 1 && whole.has(frame.epoch) && !seals.has(frame.epoch))
      report('half-epoch', `${name} has epoch ${frame.epoch} as a whole one without its seal behind ${placeOf(frame)}`)
  }
}

function checkAnswers(
  { name }: NodeLog,
  logged: ReadonlyMap<string, LoggedSession>,
  { sessions, level }: { sessions: readonly SessionRecord[]; level: Level },
  report: Report,
): void {
  for (const record of sessions) {
    if (record.failed?.outcome === 'lost') report('stored', `session ${nameOf(record)} was told lost, and no disk was`)
    for (const rule of ['stored', 'propagated'] as const) {
      const answer = record[rule]
      if (answer === undefined || (rule === 'stored' && level === 'propagated')) continue
      const found = logged.get(nameOf(record))
      const told = `session ${nameOf(record)}, told ${rule.toUpperCase()} in epoch ${answer.epoch} of term ${answer.term}`
      if (found === undefined) report(rule, `${name} has no ${told}`)
      else if (!found.isWhole) report(rule, `${name} has ${told}, in an epoch that is not whole`)
      else if (!isPlaceOf(answer, found.frame)) report(rule, `${name} has ${told}, at ${placeOf(found.frame)}`)
    }
  }
}

/** Dependencies as the log names them, and the order of time as the history has it. */
function checkOrder(
  { name }: NodeLog,
  logged: ReadonlyMap<string, LoggedSession>,
  sessions: readonly SessionRecord[],
  report: Report,
): void {
  for (const [id, { content, frame }] of logged) {
    if (content.dependsOn === undefined) continue
    const first = logged.get(nameOf(content.dependsOn))
    const pair = `${name} has session ${id} in epoch ${frame.epoch}`
    if (first === undefined) report('dependency', `${pair} without ${nameOf(content.dependsOn)}, on which it depends`)
    else if (first.frame.epoch > frame.epoch)
      report('dependency', `${pair}; it depends on ${nameOf(content.dependsOn)} in epoch ${first.frame.epoch}`)
  }
  const answers = sessions.flatMap(({ stored }) => (stored === undefined ? [] : [stored])).sort((a, b) => a.at - b.at)
  let highest = 0n
  let next = 0
  for (const record of sessions) {
    for (; next < answers.length && answers[next]!.at < record.sentAt; next++)
      if (answers[next]!.epoch > highest) highest = answers[next]!.epoch
    const found = logged.get(nameOf(record))
    if (found !== undefined && found.frame.epoch < highest)
      report(
        'time',
        `${name} has session ${nameOf(record)} in epoch ${found.frame.epoch}, sent after epoch ${highest} was answered`,
      )
  }
}

function checkTerms(sessions: readonly SessionRecord[], nodes: readonly NodeLog[], report: Report): void {
  const terms = new Map<bigint, string>()
  const note = (epoch: bigint, term: string, where: string): void => {
    const known = terms.get(epoch)
    if (known !== undefined && known !== term)
      report('two-terms', `epoch ${epoch} is one of term ${known} and of term ${term} (${where})`)
    terms.set(epoch, term)
  }
  for (const { name, log } of nodes) {
    for (const frame of log.frames.flat())
      if (frame.kind === 2) note(frame.epoch, termOf(frame), `${name} at ${placeOf(frame)}`)
  }
  for (const record of sessions) {
    for (const answer of [record.stored, record.propagated]) {
      if (answer !== undefined)
        note(answer.epoch, `${answer.term} with tag ${answer.tag}`, `answer to ${nameOf(record)}`)
    }
  }
}

function checkOneHistory(master: NodeLog, replica: NodeLog, report: Report): void {
  const pair = `${master.name} and ${replica.name}`
  if (JSON.stringify(master.log.history) !== JSON.stringify(replica.log.history))
    report('one-history', `${pair} have different term histories`)
  for (const [channel, frames] of master.log.frames.entries()) {
    const others = replica.log.frames[channel] ?? []
    const parting = frames.slice(0, others.length).findIndex((frame, i) => !frame.bytes.equals(others[i]!.bytes))
    if (parting !== -1) report('one-history', `${pair} part at ${placeOf(frames[parting]!)}`)
  }
}

const isSame = (a: SessionId | undefined, b: SessionId | undefined): boolean => a?.writer === b?.writer && a?.n === b?.n

/** After a break an answer names the epoch of the newest session told with it (docs/CLIENT.md); never an earlier one. */
const isPlaceOf = ({ term, tag, epoch, isResumed }: Answer, frame: NaiveFrame): boolean =>
  frame.epoch === epoch
    ? termOf(frame) === `${term} with tag ${tag}`
    : isResumed === true && frame.epoch < epoch && frame.term <= term

const termOf = (frame: NaiveFrame): string => `${frame.term} with tag ${frame.bytes.readUInt32LE(20)}`

const placeOf = ({ channel, position, epoch, term }: NaiveFrame): string =>
  `channel ${channel}, position ${position} (epoch ${epoch}, term ${term})`
