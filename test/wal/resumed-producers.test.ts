/** REP-66: PROPAGATED for a producer that came back, told once it is true, and never before STORED. */
import t from 'tap'
import { Board, boardShape, createBoard } from '../../wal/board.ts'
import { encodePolicy } from '../../wal/durability.ts'
import { masterTable, type Producer, type ProducerLink } from '../../wal/producer.ts'
import { ResumedProducers } from '../../wal/resumed-producers.ts'

const FIRST_EPOCH = 10n

function board(inSync: readonly number[]): Board {
  const policy = encodePolicy({ inSync, quorum: inSync.length })
  return new Board(createBoard(boardShape(1), { firstEpoch: FIRST_EPOCH, baseEpoch: 9n, policy }))
}

/** A producer with sessions up to 3 before this mastership, and a connection that notes what it hears. */
function returned(): { producer: Producer; heard: string[] } {
  const table = masterTable(2n, { evictedEpoch: '0', producers: [['5', 3, '7', '1', 1, []]] })
  const producer = table.get(5n)!
  const heard: string[] = []
  const link: ProducerLink = {
    stored: (epoch, last) => heard.push(`STORED ${epoch} ${last}`),
    propagated: (epoch, last) => heard.push(`PROPAGATED ${epoch} ${last}`),
    rejected: () => undefined,
    close: () => undefined,
  }
  producer.greet(link)
  return { producer, heard }
}

t.test('what lies before this mastership, when the replicas hold all of it', async (t) => {
  const { producer, heard } = returned()
  const resumed = new ResumedProducers()
  resumed.add(producer, board([1]))
  resumed.answer(FIRST_EPOCH - 2n)
  t.same(heard, ['STORED 7 3'])
  resumed.answer(FIRST_EPOCH - 1n)
  t.same(heard, ['STORED 7 3', 'PROPAGATED 7 3'])
  t.equal(resumed.size, 0)
})

t.test('another channel has published PROPAGATED before this one has told STORED', async (t) => {
  const { producer, heard } = returned()
  producer.queued = 1
  producer.stamped(4, 11)
  const resumed = new ResumedProducers()
  resumed.add(producer, board([1]))
  resumed.answer(11n)
  t.same(heard, ['STORED 7 3'], 'it waits')
  producer.stored(11n, 4)
  resumed.answer(11n)
  t.same(heard, ['STORED 7 3', 'STORED 11 4', 'PROPAGATED 11 4'])
})

t.test('nobody waits where there is nothing to hear, or nobody to hear it', async (t) => {
  const { producer, heard } = returned()
  const resumed = new ResumedProducers()
  resumed.add(producer, board([]))
  t.equal(resumed.size, 0, 'PROPAGATED cannot come true')
  resumed.add(producer, board([1]))
  producer.link = undefined
  resumed.answer(1n)
  t.equal(resumed.size, 0, 'who is gone asks again when it comes back')
  t.same(heard, ['STORED 7 3'])
})
