import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeId, encodeId, idRangeFloor, idSource, instantOfId, newId } from './ids.ts'

const instants = fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })

test('an id survives the way out and back', () => {
  fc.assert(
    fc.property(fc.uuid(), uuid => {
      expect(decodeId('pi_', encodeId('pi_', uuid))).toBe(uuid)
    }),
  )
})

test('public ids sort like the uuids they stand for', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.uuid(), (a, b) => {
      expect(encodeId('pi_', a) < encodeId('pi_', b)).toBe(a < b)
    }),
  )
})

test('an id carries its instant, and the floor of an instant lies below its ids and above earlier ones', () => {
  // The generator keeps ids from going backwards by less than ten seconds, so each instant is tried in order.
  fc.assert(
    fc.property(instants, at => {
      const id = newId(new Date(Math.floor(at.getTime() / 60_000) * 60_000))
      const instant = instantOfId(id)
      expect(idRangeFloor(instant) <= id).toBe(true)
      expect(idRangeFloor(new Date(instant.getTime() + 1)) > id).toBe(true)
    }),
  )
})

test('ids of one process never go backwards within an instant', () => {
  const at = new Date()
  const ids = Array.from({ length: 10_000 }, () => newId(at))
  expect([...ids].sort()).toEqual(ids)
  expect(new Set(ids).size).toBe(ids.length)
})

test('ids of another clock pull no others after them', () => {
  const at = new Date('2026-11-21T12:00:00Z')
  const ofAnother = idSource()
  newId(at)
  expect(instantOfId(ofAnother(new Date(at.getTime() + 5_000))).getTime()).toBe(at.getTime() + 5_000)
  expect(instantOfId(newId(at)).getTime()).toBe(at.getTime())
})

test.each([
  ['another prefix', 'ch_01jd3x0yfae4qa9vrf2kz5m8wt'],
  ['too short', 'pi_01jd3x0yfae4qa9vrf2kz5m8w'],
  ['too long', 'pi_01jd3x0yfae4qa9vrf2kz5m8wtt'],
  ['a letter outside the alphabet', 'pi_01jd3x0yfae4qa9vrf2kz5m8wu'],
  ['an upper-case letter', 'pi_01JD3X0YFAE4QA9VRF2KZ5M8WT'],
  ['more than 128 bits', 'pi_81jd3x0yfae4qa9vrf2kz5m8wt'],
  ['beyond ASCII', 'pi_01jd3x0yfae4qa9vrf2kz5m8wé'],
])('%s is no id', (_, text) => {
  expect(decodeId('pi_', text)).toBeUndefined()
})
