/** The loader by itself, against a channel that the test plays: back-pressure, and the account of what became of records. */
import { Readable } from 'node:stream'
import t from 'tap'
import type { Channel, Commit } from '../../client/client.ts'
import { ClientError } from '../../client/client-error.ts'
import { epoch, nodeId, termNumber } from '../../protocol/ids.ts'
import { Loader, type LoadOptions } from '../../tools/loader.ts'

const TERM = { number: termNumber(1n), nodeId: nodeId('0b9d1e2f-3a4b-4c5d-8e6f-778899aabbcc'), tag: 1 }

/** A channel whose answers the test gives. */
class PlayedChannel {
  readonly id = 0
  /** How often the loader has asked for the state: twice at each look. */
  asked = 0
  /** Keys per session. */
  readonly sessions: string[][] = []
  readonly #answers: { readonly resolve: (commit: Commit) => void; readonly reject: (error: Error) => void }[] = []

  hasEnded = false

  get state(): string {
    this.asked++
    return this.hasEnded ? 'ended' : 'open'
  }

  ready(): Promise<void> {
    return Promise.resolve()
  }

  beginSession(): object {
    const keys: string[] = []
    const session = {
      bytes: 0,
      put: (_: bigint, key: string, value: Buffer) => {
        keys.push(key)
        session.bytes += value.length
      },
      abandon: () => undefined,
      end: () => {
        this.sessions.push(keys)
        const promise = new Promise<Commit>((resolve, reject) => this.#answers.push({ resolve, reject }))
        return { stored: promise, propagated: promise }
      },
    }
    return session
  }

  answer(session: number, of: bigint): void {
    this.#answers[session]?.resolve({ term: TERM, epoch: epoch(of), sequence: session + 1 })
  }

  fail(session: number, error: Error): void {
    this.#answers[session]?.reject(error)
  }

  /** As much of a channel as the loader uses. */
  get asChannel(): Channel {
    return this as unknown as Channel // the loader uses nothing else of it
  }
}

function options(chunks: Readable, channel: PlayedChannel, more: Partial<LoadOptions> = {}): LoadOptions {
  return {
    input: { chunks, name: 'input', bytes: undefined },
    format: 'lines',
    key: undefined,
    storage: 1n,
    level: 'propagated',
    batch: 1,
    skipBad: false,
    channel: channel.asChannel,
    stopped: new Promise(() => undefined),
    onProgress: () => undefined,
    onBad: () => undefined,
    onAway: () => undefined,
    onSilence: () => undefined,
    ...more,
  }
}

/** Lets everything that can happen happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
}

t.test('reads no faster than sessions are answered, however long the input', async (t) => {
  let chunksRead = 0
  const input = Readable.from(
    (function* () {
      for (;;) {
        chunksRead++
        yield Buffer.from('x\n'.repeat(100))
      }
    })(),
    { objectMode: false, highWaterMark: 200 },
  )
  const channel = new PlayedChannel()
  let stop: (() => void) | undefined
  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  const loader = new Loader(options(input, channel, { stopped }))
  const ended = loader.run()
  await settle()
  const sent = channel.sessions.length
  t.ok(sent > 0 && sent <= 64, `${sent} sessions on their way`)
  t.ok(chunksRead < 10, `${chunksRead} chunks read`)
  for (let i = 0; i < 10; i++) channel.answer(i, BigInt(i + 1))
  await settle()
  t.equal(channel.sessions.length, sent + 10, 'an answer makes room for one more')
  stop?.()
  await settle()
  for (let i = 10; i < channel.sessions.length; i++) channel.answer(i, BigInt(i + 1))
  const tally = await ended
  t.equal(tally.acknowledged.records, sent + 10)
  t.equal(tally.throughLine, sent + 10)
  t.equal(input.destroyed, true)
})

t.test('tells apart what was acknowledged, stored only, unknown and not applied', async (t) => {
  const channel = new PlayedChannel()
  const loader = new Loader(options(Readable.from([Buffer.from('a\nb\nc\nd\ne\nf\n')], { objectMode: false }), channel))
  const ended = loader.run()
  await settle()
  t.same(channel.sessions, [['1'], ['2'], ['3'], ['4'], ['5'], ['6']])
  const stored = { term: TERM, epoch: epoch(2n), sequence: 2 }
  channel.answer(0, 1n)
  channel.answer(4, 3n)
  await settle()
  channel.fail(1, new ClientError('DEADLINE_EXCEEDED', 'late', 'unknown', { stored }))
  channel.fail(2, new ClientError('CONNECTION_LOST', 'lost', 'unknown'))
  channel.fail(3, new ClientError('DISK_LOW', 'full', 'not-applied'))
  channel.answer(5, 3n)
  await t.rejects(ended, { code: 'DEADLINE_EXCEEDED' }, 'the first failure is the reason')
  const { acknowledged, storedOnly, unknown, notApplied, waiting, epochs, lastEpoch, throughLine } = loader.tally
  t.same(
    { acknowledged, storedOnly, unknown, notApplied, waiting },
    {
      acknowledged: { sessions: 3, records: 3 },
      storedOnly: { sessions: 1, records: 1 },
      unknown: { sessions: 1, records: 1 },
      notApplied: { sessions: 1, records: 1 },
      waiting: { sessions: 0, records: 0 },
    },
  )
  t.same([epochs, lastEpoch, throughLine], [2, 3n, 1], 'lines 5 and 6 do not make up for line 2')
})

t.test('says once that nothing is acknowledged for a while, and again behind the next answer', async (t) => {
  const channel = new PlayedChannel()
  const said: unknown[] = []
  let now = 0
  const input = Readable.from([Buffer.from('a\nb\nc\n')], { objectMode: false })
  const loader = new Loader(options(input, channel, { batch: 2, now: () => now, onSilence: (of) => said.push(of) }))
  const ended = loader.run()
  const looks = async (): Promise<void> => {
    const before = channel.asked
    while (channel.asked < before + 4) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await settle()
  now = 2_999
  await looks()
  t.same(said, [], 'nothing is said before')
  now = 3_000
  await looks()
  t.same(said, [{ sessions: 2, records: 3 }], 'once, also when all was read')
  channel.answer(0, 1n)
  await settle()
  now = 6_000
  await looks()
  t.same(said.slice(1), [{ sessions: 1, records: 1 }])
  channel.answer(1, 1n)
  t.equal((await ended).acknowledged.records, 3)
})

t.test('a session is sent when it is full by count or by bytes', async (t) => {
  const channel = new PlayedChannel()
  const big = 'x'.repeat(600_000)
  const text = `a\nb\nc\n${big}\n${big}\nd\n`
  const loader = new Loader(options(Readable.from([Buffer.from(text)], { objectMode: false }), channel, { batch: 3 }))
  const ended = loader.run()
  await settle()
  t.same(channel.sessions, [['1', '2', '3'], ['4', '5'], ['6']])
  for (let i = 0; i < 3; i++) channel.answer(i, 1n)
  t.equal((await ended).acknowledged.records, 6)
})

t.test('an input that breaks: what was read before is loaded, the error says so', async (t) => {
  const channel = new PlayedChannel()
  const input = new Readable({ read: () => undefined })
  const loader = new Loader(options(input, channel))
  const ended = loader.run()
  input.push('a\nb\nhalf a li')
  await settle()
  input.destroy(Object.assign(new Error('read failed'), { code: 'EIO' }))
  await settle()
  channel.answer(0, 1n)
  channel.answer(1, 1n)
  await t.rejects(ended, { code: 'INPUT_UNREADABLE', where: { file: 'input' }, message: /EIO/ })
  t.same(channel.sessions, [['1'], ['2']], 'half a line is no record')
  t.equal(loader.tally.acknowledged.records, 2)
})

t.test('a connection that is lost while the input is quiet ends the load', async (t) => {
  const channel = new PlayedChannel()
  const input = new Readable({ read: () => undefined })
  const loader = new Loader(options(input, channel))
  const ended = loader.run()
  channel.ready = () => Promise.reject(new ClientError('CONNECTION_LOST', 'gone', 'not-applied'))
  channel.hasEnded = true
  await t.rejects(ended, { code: 'CONNECTION_LOST' })
})

t.test('sessions that were acknowledged STORED and are lost are taken back, and end the load', async (t) => {
  const channel = new PlayedChannel()
  const chunks = Readable.from([Buffer.from('a\nb\nc\nd\n')], { objectMode: false })
  const loader = new Loader(options(chunks, channel, { level: 'stored' }))
  const ended = loader.run()
  await settle()
  for (let i = 0; i < 3; i++) channel.answer(i, BigInt(i + 1))
  await settle()
  t.equal(loader.tally.throughLine, 3)
  loader.lost({ channel: 0, from: 2, to: 3 })
  channel.fail(3, new ClientError('SESSION_LOST', 'gone', 'lost'))
  await t.rejects(ended, { code: 'SESSION_LOST' })
  const { acknowledged, lost, waiting, throughLine, bytes } = loader.tally
  t.same(
    { acknowledged, lost, waiting, throughLine, bytes },
    {
      acknowledged: { sessions: 1, records: 1 },
      lost: { sessions: 3, records: 3 },
      waiting: { sessions: 0, records: 0 },
      throughLine: 1,
      bytes: 1,
    },
  )
})
