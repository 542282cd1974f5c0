/**
 * The node against which the examples of docs/CLIENT.md run. Whatever stands behind this function, they must not notice.
 */
import { FakeNode, type Teardown } from './fake-node.ts'

/** A master with one replica in its in-sync set. @returns the address of its control channel */
export async function startExampleNode(t: Teardown): Promise<string> {
  const node = await FakeNode.start(t, { channels: 2, replicas: 1, answer: 'propagated' })
  return node.address
}
