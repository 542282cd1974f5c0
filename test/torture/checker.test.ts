/** The checker of the torture runs: what it must accept, and one history for each rule that it must reject. */
import t from 'tap'
import { check, checkAnswered, type Rule } from './checker.ts'
import type { Answer, SessionRecord } from './client-history.ts'
import { type HandMadeTerm, handMadeLog, type Line, session, told } from './hand-made-history.ts'

const a = session(1, 1)
const b = session(1, 2, a)
const c = session(2, 1)
const d = session(2, 2)
const NEXT_TERM: HandMadeTerm = { number: 2, tag: 8 }

/** a; then b, which depends on it, and c, in one epoch of both channels; then d. */
const LINES: readonly Line[] = [
  { channel: 0, epoch: 1, session: a },
  { channel: 0, epoch: 1, seal: [0] },
  { channel: 1, epoch: 2, session: b },
  { channel: 0, epoch: 2, session: c },
  { channel: 0, epoch: 2, seal: [0, 1] },
  { channel: 1, epoch: 2, seal: [0, 1] },
  { channel: 1, epoch: 3, session: d },
  { channel: 1, epoch: 3, seal: [1] },
]

const SESSIONS: readonly SessionRecord[] = [
  told(a, { channel: 0, sentAt: 1, epoch: 1 }),
  told(b, { channel: 1, sentAt: 10, epoch: 2 }),
  told(c, { channel: 0, sentAt: 11, epoch: 2 }),
  told(d, { channel: 1, sentAt: 20, epoch: 3 }),
]

type Lines = readonly (Line & { readonly term?: HandMadeTerm })[]

/** The rules that object; the replicas hold what the master holds unless said otherwise. */
function objections(sessions: readonly SessionRecord[], master: Lines, replica1 = master, replica2 = master): Rule[] {
  const findings = check({
    sessions,
    master: handMadeLog('master', master),
    replicas: [handMadeLog('replica1', replica1), handMadeLog('replica2', replica2)],
  })
  return [...new Set(findings.map(({ rule }) => rule))].sort()
}

const without = (...indexes: readonly number[]): readonly Line[] => LINES.filter((_, i) => !indexes.includes(i))

/** The same sessions, some told something else. */
const retold = (changes: Readonly<Record<number, Partial<SessionRecord>>>): SessionRecord[] =>
  SESSIONS.map((record, i) => ({ ...record, ...changes[i] }))

/** Nobody was told anything of this session. */
const unanswered = ({ stored: _, propagated: __, ...record }: SessionRecord): SessionRecord => record

const refused = (record: SessionRecord): SessionRecord => ({
  ...unanswered(record),
  failed: { outcome: 'not-applied', code: 'DISK_LOW' },
})

t.test('what it accepts', async (t) => {
  t.same(objections(SESSIONS, LINES), [], 'everything answered is everywhere')
  t.same(objections([], []), [], 'nothing')
  t.same(objections(SESSIONS.map(unanswered), LINES), [], 'unknown, and in the log')
  t.same(
    objections([...SESSIONS, unanswered(told(session(3, 1), { channel: 0, sentAt: 30, epoch: 4 }))], LINES),
    [],
    'unknown, and not in the log',
  )
  t.same(
    objections([...SESSIONS, refused(told(session(3, 1), { channel: 0, sentAt: 30, epoch: 4 }))], LINES),
    [],
    'refused',
  )
  const notPropagated = SESSIONS.map(({ propagated: _, ...record }) => record)
  t.same(objections(notPropagated, LINES, without(6, 7), []), [], 'STORED alone, and replicas that are behind')
  const tail: Lines = [...LINES, { channel: 0, epoch: 4, session: session(3, 1) }]
  const withTail = [...SESSIONS, unanswered(told(session(3, 1), { channel: 0, sentAt: 30, epoch: 4 }))]
  t.same(objections(withTail, tail, LINES), [], 'an epoch at the very end that is not sealed yet')
  const two: Lines = [...LINES.slice(0, 6), ...LINES.slice(6).map((line) => ({ ...line, term: NEXT_TERM }))]
  const answer = { term: 2n, tag: 8, epoch: 3n }
  const inTwo = retold({ 3: { stored: { ...answer, at: 21 }, propagated: { ...answer, at: 22 } } })
  t.same(objections(inTwo, two), [], 'two masterships, one after the other')
})

t.test('an answered session is missing', async (t) => {
  t.same(objections(SESSIONS, without(6)), ['propagated', 'stored'], 'on all nodes')
  t.same(objections(SESSIONS, LINES, LINES.slice(0, 6)), ['propagated'], 'on one replica')
  t.same(objections(SESSIONS, LINES, LINES, LINES.slice(0, 7)), ['propagated'], 'on one replica: the seal of its epoch')
  const stored = SESSIONS.map(({ propagated: _, ...record }) => record)
  t.same(objections(stored, without(6), LINES), ['one-history', 'stored'], 'on the master alone')
  const moved = retold({ 3: { stored: { term: 1n, tag: 7, epoch: 2n, at: 21 } } })
  t.same(objections(moved, LINES), ['stored'], 'in the epoch that the answer named')
  const later = { term: 1n, tag: 7, epoch: 3n, at: 12 }
  t.same(objections(retold({ 1: { stored: later } }), LINES), ['stored'], 'not in an earlier one')
  const overBreak = (changes: Partial<Answer>): Rule[] =>
    objections(retold({ 1: { stored: { ...later, isResumed: true, ...changes } } }), LINES)
  t.same(overBreak({}), [], 'but where the answer came over another connection')
  t.same(overBreak({ epoch: 1n }), ['stored'], 'and there never in a later one')
  t.same(overBreak({ epoch: 2n, tag: 9 }), ['stored', 'two-terms'], 'nor in another term of the same epoch')
  const lost = SESSIONS.map((r, i) =>
    i === 3 ? { ...r, failed: { outcome: 'lost', code: 'SESSION_LOST' } as const } : r,
  )
  t.ok(objections(lost, LINES).includes('stored'), 'told lost, though no disk was')
  const otherTerm = retold({ 3: { propagated: { term: 1n, tag: 9, epoch: 3n, at: 22 } } })
  t.same(objections(otherTerm, LINES), ['propagated', 'two-terms'], 'in the term that the answer named')
})

t.test('a session is there that should not be, or not like that', async (t) => {
  const twice: Lines = [...LINES, { channel: 1, epoch: 4, session: d }, { channel: 1, epoch: 4, seal: [1] }]
  t.ok(objections(SESSIONS, twice).includes('twice'), 'one is there twice')
  t.same(
    objections(
      retold({}).map((r, i) => (i === 3 ? refused(r) : r)),
      LINES,
    ),
    ['not-applied'],
    'told as not applied',
  )
  t.same(objections(SESSIONS.slice(0, 3), LINES), ['content'], 'never sent')
  const half: Lines = LINES.map((line) => ('session' in line && line.session === d ? { ...line, cutEntries: 1 } : line))
  t.same(objections(SESSIONS, half), ['content', 'propagated', 'stored'], 'an entry is missing')
  const changed: Lines = LINES.map((line) =>
    'session' in line && line.session === d ? { ...line, session: { ...d, valueBytes: 21 } } : line,
  )
  t.same(objections(SESSIONS, changed), ['content'], 'other values than those that were written')
  const channel = SESSIONS.map((record, i) => (i === 3 ? { ...record, channel: 0 } : record))
  t.same(objections(channel, LINES), ['content'], 'on another channel')
})

t.test('epochs are torn or out of order', async (t) => {
  const sessions = SESSIONS.map(unanswered)
  t.same(objections(sessions, without(5)), [], 'the seal of one channel is missing, and so are all later epochs')
  const skipped = LINES.map((line, i) => (i === 7 ? { ...line, prev: 1 } : line))
  t.same(
    objections(
      sessions,
      skipped.filter((_, i) => i !== 5),
    ),
    ['half-epoch'],
    'half of an epoch before a whole one',
  )
  const unnamed = LINES.filter((_, i) => i !== 5).map((line, i) => (i === 4 ? { ...line, seal: [0] } : line))
  t.ok(
    objections(sessions, unnamed).includes('half-epoch'),
    'a session in an epoch whose seals do not name its channel',
  )
  const behind: Lines = [...LINES.slice(0, 3), LINES[4]!, LINES[3]!, ...LINES.slice(5)]
  t.same(objections(sessions, behind), ['place'], 'a session behind the seal of its epoch')
})

t.test('the order of sessions is broken', async (t) => {
  const early: Lines = [
    { channel: 1, epoch: 1, session: b },
    { channel: 1, epoch: 1, seal: [1] },
    { channel: 0, epoch: 2, session: a },
    { channel: 0, epoch: 2, seal: [0] },
  ]
  const epochs = [told(a, { channel: 0, sentAt: 1, epoch: 2 }), told(b, { channel: 1, sentAt: 10, epoch: 1 })]
  t.same(objections(epochs, early), ['dependency', 'time'], 'a session before the one it depends on')
  t.same(objections(epochs.map(unanswered), early), ['dependency'], 'the same, by the log alone')
  t.same(
    objections([...SESSIONS.slice(0, 3)].map(unanswered).concat(SESSIONS.slice(3).map(unanswered)), without(0)),
    ['dependency'],
    'a session without the one it depends on',
  )
  const late = SESSIONS.map((record, i) =>
    i === 0 ? { ...record, sentAt: 13, stored: { ...record.stored!, at: 14 } } : record,
  )
  const byTime = [...late].sort((x, y) => x.sentAt - y.sentAt)
  t.same(objections(byTime, LINES), ['time'], 'sent after an epoch was answered, and in an earlier one')
})

t.test('histories part', async (t) => {
  const sessions = SESSIONS.map(unanswered)
  const other: Lines = LINES.map((line, i) => (i === 3 ? { ...line, session: session(3, 1) } : line))
  const withOther = [...sessions, unanswered(told(session(3, 1), { channel: 0, sentAt: 12, epoch: 2 }))]
  t.same(objections(withOther, LINES, LINES, other), ['one-history'], 'one replica has another session')
  const inTwo: Lines = LINES.map((line, i) => (i >= 6 ? { ...line, term: NEXT_TERM } : line))
  t.same(objections(sessions, LINES, inTwo), ['one-history', 'two-terms'], 'an epoch of two terms in two logs')
  const answers = retold({ 3: { stored: { term: 1n, tag: 8, epoch: 3n, at: 21 } } })
  t.same(objections(answers, LINES), ['stored', 'two-terms'], 'an epoch of two terms in two answers')
})

t.test('right after a kill, what was answered is there, and nothing else is asked', async (t) => {
  const at = (lines: Lines, level: 'stored' | 'propagated', sessions = SESSIONS): Rule[] =>
    checkAnswered(handMadeLog('node', lines), sessions, level).map(({ rule }) => rule)
  t.same(at(LINES, 'stored'), [])
  t.same(at(without(6, 7), 'stored'), ['stored', 'propagated'])
  t.same(at(without(6, 7), 'propagated'), ['propagated'])
  t.same(at(without(7), 'propagated'), ['propagated'], 'a session without its seal is not there')
  const notPropagated = SESSIONS.map(({ propagated: _, ...record }) => record)
  t.same(at([], 'propagated', notPropagated), [], 'a replica may lack what was only STORED')
})
