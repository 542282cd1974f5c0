/** A master's channel that drains while its replica is away: for whom it waits. How long at most: test/tools/run-end. */
import t from 'tap'
import { ChannelHarness } from './channel-harness.ts'

import { put, until } from './raw-client.ts'

t.test('a client that can still hear PROPAGATED is waited for, one that has gone is not', async (t) => {
  const harness = new ChannelHarness(t, [1])
  await harness.listen()
  const link = await harness.open()
  link.write(put('key'))
  await link.untilStored(1)
  harness.channel.drain()
  link.write(put('refused'))
  await until('the node has answered once more', () => link.rejected.length > 0)
  t.equal(link.rejected[0]?.error.code, 'SHUTTING_DOWN')
  t.notOk(harness.isDrained, 'session 1 is not PROPAGATED, and somebody is there to hear it')
  await link.end()
  await until('it is drained', () => harness.isDrained)
})

t.test('with nobody connected it has drained at once', async (t) => {
  const harness = new ChannelHarness(t, [1])
  await harness.listen()
  const link = await harness.open()
  link.write(put('key'))
  await link.untilStored(1)
  await link.end()
  await until('the node has seen the end', () => harness.accepted[0]!.destroyed)
  harness.channel.drain()
  t.ok(harness.isDrained)
})
