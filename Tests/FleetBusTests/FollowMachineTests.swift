import FleetBus
import Testing

@Suite("An edge does each order once, and notices what is left out")
struct FollowMachineTests {
    private static func machine(
        _ signers: [Signer], record: FollowRecord? = nil, since: Int64 = 0, joins: Bool = true
    ) -> FollowMachine {
        var machine = FollowMachine(fleet: "test", signers: signers, record: record, since: since)
        if joins {
            _ = machine.joined(generation: .test, anchor: nil)
            machine.caughtUp(at: 1)
        }
        return machine
    }

    private static func purges(_ judgement: FollowMachine.Judgement) -> [UInt64] {
        judgement.steps.compactMap {
            if case .purge(let order, _) = $0 { order.counter } else { nil }
        }
    }

    @Test("In order, each once; replays are refused and never done again")
    func replays() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()])
        var entries: [StreamEntry] = []
        for id in 1...5 { entries.append(try signer.next(at: StreamID(UInt64(id))).0) }
        #expect(Self.purges(machine.judge(entries)) == [101, 102, 103, 104, 105])
        // The same ids again: not even looked at.
        #expect(machine.judge(entries) == FollowMachine.Judgement())
        for (index, entry) in entries.enumerated() {
            let again = machine.judge([StreamEntry(id: StreamID(10 + UInt64(index)), payload: entry.payload)])
            #expect(again.steps.isEmpty)
            // The last one again is what a signer does that did not hear of its success.
            #expect(again.refused.map(\.reason) == (index == 4 ? [] : [.replayed]))
        }
        #expect(Self.purges(machine.judge([try signer.next(at: StreamID(20)).0])) == [106])
    }

    @Test("Another order under a counter that was used is refused, and not acknowledged")
    func reusedCounter() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()])
        _ = machine.judge([try signer.next(at: StreamID(1)).0, try signer.next(at: StreamID(2)).0])
        for counter in [101, 102] as [UInt64] {
            let order = signer.order(counter, [.everything])
            let payload = try order.signed(by: signer.key)
            let id = StreamID(counter)
            let judgement = machine.judge([StreamEntry(id: id, payload: payload)])
            #expect(judgement.steps.isEmpty && judgement.refused.map(\.reason) == [.replayed])
            let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
            #expect(said.verdict(on: order, mark: Refusal.mark(of: payload), at: id) == .refused(.replayed))
            // Nor where the bus tells the signer another id.
            #expect(said.verdict(on: order, mark: Refusal.mark(of: payload), at: StreamID(2)) == .refused(.replayed))
        }
    }

    @Test("A counter that is left out means that everything is removed, once, before the order itself")
    func gap() throws {
        var signer = TestSigner("ops")
        var other = TestSigner("other")
        var machine = Self.machine([signer.listed(), other.listed()])
        _ = machine.judge([try signer.next(at: StreamID(1)).0, try other.next(at: StreamID(2)).0])
        let (_, hidden) = try signer.next(at: StreamID(3))
        let (entry, order) = try signer.next(at: StreamID(4))
        let judgement = machine.judge([try other.next(at: StreamID(3)).0, entry])
        #expect(judgement.steps.count == 3)
        #expect(judgement.steps[1] == .remove(.everything, signer: "ops", missing: 1))
        #expect(Self.purges(judgement) == [102, 103])
        // What was removed with everything else is done; the order that is late is no news.
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        let mark = [UInt8](repeating: 0, count: 16)
        #expect(said.verdict(on: hidden, mark: mark, at: StreamID(3)) == .done)
        #expect(said.verdict(on: order, mark: mark, at: StreamID(4)) == .done)
        #expect(machine.judge([try signer.next(at: StreamID(5)).0]).steps.count == 1)
    }

    @Test(
        "A signer that leaves numbers out brings about no more than it may purge, and what was left out is not claimed")
    func gapOfLimitedSigner() throws {
        var shop = TestSigner("shop")
        var tagger = TestSigner("tagger")
        let hosts = PurgeRights.some(hosts: ["shop.test"], tags: [])
        let tags = PurgeRights.some(hosts: ["shop.test"], tags: ["a*"])
        var machine = Self.machine([shop.listed(hosts), tagger.listed(tags)])
        let page = [FleetPurge.Target.url("https://shop.test/")]
        let first = machine.judge([try shop.next(at: StreamID(1), page).0, try tagger.next(at: StreamID(2), page).0])
        #expect(first.steps[0] == .confirm(hosts, .newSigner) && first.steps[2] == .confirm(tags, .newSigner))
        // It may not purge that, so that removing all that it may purge is not what it ordered.
        let (_, hidden) = try shop.next(at: StreamID(3), [.everything])
        let (_, other) = try tagger.next(at: StreamID(3), page)
        let judgement = machine.judge([
            try shop.next(at: StreamID(4), page).0, try tagger.next(at: StreamID(5), page).0,
        ])
        #expect(judgement.steps.count == 4)
        #expect(judgement.steps[0] == .remove(hosts, signer: "shop", missing: 1))
        #expect(judgement.steps[2] == .remove(tags, signer: "tagger", missing: 1))
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        #expect(said.verdict(on: hidden, mark: [], at: StreamID(4)) == .silent)
        #expect(said.verdict(on: other, mark: [], at: StreamID(4)) == .silent)
    }

    @Test("An order that was hidden from an edge that heard no other of its signer is not acknowledged by the next one")
    func hiddenFirst() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()])
        let (_, hidden) = try signer.next(at: StreamID(1))
        let (entry, order) = try signer.next(at: StreamID(2))
        let judgement = machine.judge([entry])
        #expect(Self.purges(judgement) == [102])
        // What it named is not known: all is confirmed, once for each signer.
        #expect(judgement.steps.first == .confirm(.everything, .newSigner))
        #expect(machine.judge([try signer.next(at: StreamID(3)).0]).steps.count == 1)
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        let mark = [UInt8](repeating: 0, count: 16)
        #expect(said.verdict(on: order, mark: mark, at: StreamID(2)) == .done)
        #expect(said.verdict(on: hidden, mark: mark, at: StreamID(1)) == .silent)
    }

    @Test("What is not ours, badly signed or not allowed is refused; the refusal is part of the acknowledgement")
    func refusals() throws {
        var signer = TestSigner("ops")
        var limited = TestSigner("shop")
        let stranger = TestSigner("stranger")
        var machine = Self.machine([
            signer.listed(), limited.listed(.some(hosts: ["shop.test"], tags: [])),
        ])
        let (forbidden, order) = try limited.next(at: StreamID(6), [.everything])
        let judgement = machine.judge([
            StreamEntry(id: StreamID(1), payload: nil), StreamEntry(id: StreamID(2), payload: Array("hello".utf8)),
            StreamEntry(id: StreamID(3), payload: try signer.order(1, fleet: "else").signed(by: signer.key)),
            StreamEntry(id: StreamID(4), payload: try stranger.order(1).signed(by: stranger.key)),
            StreamEntry(id: StreamID(5), payload: try signer.order(1).signed(by: stranger.key)),
            forbidden,
            StreamEntry(id: StreamID(7), payload: try signer.order(1, generation: .other).signed(by: signer.key)),
            try signer.next(at: StreamID(8)).0,
        ])
        #expect(
            judgement.refused.map(\.reason) == [
                .malformed, .malformed, .otherFleet, .unknownSigner, .badSignature, .notAllowed, .otherGeneration,
            ])
        #expect(Self.purges(judgement) == [101])
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        #expect(
            said.verdict(on: order, mark: Refusal.mark(of: forbidden.payload), at: StreamID(6)) == .refused(.notAllowed)
        )
        // An acknowledgement that the bus kept back does not make a refusal look done.
        machine.reported(said)
        let (entry, _) = try limited.next(at: StreamID(9), [.url("https://shop.test/")])
        _ = machine.judge([entry])
        let later = try #require(machine.acknowledgement(edge: "paris", time: 0))
        #expect(later.verdict(on: order, mark: Refusal.mark(of: forbidden.payload), at: StreamID(9)) != .done)
        #expect(later.verdict(on: order, mark: [], at: StreamID(9)) != .done)
    }

    @Test("A place that is lost means doubt, and the stream is read from its beginning without doing anything twice")
    func lostPlace() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()])
        var entries: [StreamEntry] = []
        for id in 1...4 { entries.append(try signer.next(at: StreamID(UInt64(id))).0) }
        _ = machine.judge(Array(entries[..<3]))
        #expect(machine.holdsPlace(generation: .test, anchor: entries[2]))
        var changed = entries[2]
        changed.payload = entries[1].payload
        for anchor in [nil, entries[1], changed] {
            #expect(!machine.holdsPlace(generation: .test, anchor: anchor))
            var copy = machine
            #expect(copy.joined(generation: .test, anchor: anchor) == [.confirm(.everything, .lostPlace)])
            #expect(copy.position == .zero)
            let again = copy.judge(entries)
            #expect(Self.purges(again) == [104])
            #expect(again.known == 3 && again.refused.isEmpty)
            copy.caughtUp(at: 5)
            #expect(copy.joined(generation: .test, anchor: entries[3]).isEmpty)
            #expect(copy.joined(generation: .other, anchor: entries[3]) == [.confirm(.everything, .otherGeneration)])
        }
        // Cut off beyond what was read: the next order shows how much is missing.
        var copy = machine
        _ = copy.joined(generation: .test, anchor: nil)
        for id in 5...9 { entries.append(try signer.next(at: StreamID(UInt64(id))).0) }
        let later = copy.judge(Array(entries[6...]))
        #expect(later.steps.first == .remove(.everything, signer: "ops", missing: 3))
    }

    @Test(
        "A new edge can't be emptied with orders of old, however many; its clock and the signer's may differ by ten minutes"
    )
    func oldOrders() throws {
        var signer = TestSigner("ops")
        let start: Int64 = 1_000_000_000_000
        let old = start - FollowMachine.clockTolerance - 1
        var machine = Self.machine([signer.listed()], since: start)
        let (entry, order) = try signer.next(at: StreamID(1), time: old)
        let first = machine.judge([entry])
        // One that was held back may be of what is stored: that is confirmed, once.
        #expect(first.steps == [.confirm(.everything, .newSigner)] && first.refused.map(\.reason) == [.tooOld])
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        #expect(said.verdict(on: order, mark: Refusal.mark(of: entry.payload), at: StreamID(1)) == .refused(.tooOld))
        // The next one, and one behind a gap: none is done, none empties anything.
        for (id, skipped) in [(2, 0), (3, 500)] as [(UInt64, UInt64)] {
            signer.counter += skipped
            let judgement = machine.judge([try signer.next(at: StreamID(id), [.everything], time: old).0])
            #expect(judgement.steps.isEmpty && judgement.refused.map(\.reason) == [.tooOld])
        }
        // Behind them, an order that is not old begins the signer; after a gap all is confirmed, and nothing removed.
        var copy = machine
        let next = copy.judge([try signer.next(at: StreamID(4), time: start).0])
        #expect(next.steps.count == 1 && Self.purges(next) == [604])
        signer.counter += 7
        let behind = machine.judge([try signer.next(at: StreamID(5), time: start).0])
        #expect(behind.steps.first == .confirm(.everything, .newSigner) && Self.purges(behind) == [612])
        // From then on the counter decides, whatever the clocks.
        #expect(Self.purges(machine.judge([try signer.next(at: StreamID(6), time: 5).0])) == [613])
        signer.counter += 1
        let gap = machine.judge([try signer.next(at: StreamID(7), time: 5).0])
        #expect(gap.steps.first == .remove(.everything, signer: "ops", missing: 1))

        var second = TestSigner("second")
        var other = Self.machine([second.listed()], since: start)
        let (slow, _) = try second.next(at: StreamID(1), time: start - FollowMachine.clockTolerance)
        #expect(Self.purges(other.judge([slow])) == [101])
        var future = Self.machine([second.listed()], since: start)
        #expect(Self.purges(future.judge([try second.next(at: StreamID(1), time: .max).0])) == [102])
        // Whether it has begun outlasts a restart.
        var third = TestSigner("third")
        var before = Self.machine([third.listed()], since: start)
        _ = before.judge([try third.next(at: StreamID(1), time: old).0])
        third.counter += 5
        var after = Self.machine(
            [third.listed()], record: FollowRecord(encoded: before.record.encoded), since: start, joins: false)
        #expect(after.judge([try third.next(at: StreamID(2), time: old).0]).steps.isEmpty)
    }

    @Test("An edge that comes back after a day does what a signer ordered meanwhile, also one that is new to it")
    func afterADay() throws {
        let day: Int64 = 86_400_000
        let now: Int64 = 1_000_000_000_000
        var known = TestSigner("known")
        var new = TestSigner("new")
        let signers = [known.listed(), new.listed()]
        var before = Self.machine(signers, since: now - 2 * day)
        let (anchor, _) = try known.next(at: StreamID(1), time: now - day)
        _ = before.judge([anchor])
        before.caughtUp(at: now - day)
        let record = try #require(FollowRecord(encoded: before.record.encoded))
        var after = Self.machine(signers, record: record, since: record.followedUntil, joins: false)
        #expect(after.joined(generation: .test, anchor: anchor).isEmpty)
        let judgement = after.judge([
            try known.next(at: StreamID(2), time: now - day / 2).0,
            try new.next(at: StreamID(3), time: now - day / 2).0,
        ])
        #expect(Self.purges(judgement) == [102, 101] && judgement.refused.isEmpty)
        #expect(judgement.steps.count == 3, "and what the new one may have ordered before is confirmed")
    }

    @Test("What was counted already is not worth a look at its signature, and is not done")
    func repeatedUnsigned() throws {
        var signer = TestSigner("ops")
        let stranger = TestSigner("stranger")
        var machine = Self.machine([signer.listed()])
        _ = machine.judge([try signer.next(at: StreamID(1)).0, try signer.next(at: StreamID(2)).0])
        for counter in [1, 101, 102] as [UInt64] {
            let forged = try signer.order(counter, [.everything]).signed(by: stranger.key)
            let judgement = machine.judge([StreamEntry(id: StreamID(10 + counter), payload: forged)])
            #expect(judgement.steps.isEmpty && judgement.refused.map(\.reason) == [.replayed])
        }
        let ahead = try signer.order(103, [.everything]).signed(by: stranger.key)
        #expect(
            machine.judge([StreamEntry(id: StreamID(200), payload: ahead)]).refused.map(\.reason) == [.badSignature])
    }

    @Test("An edge that did another order under a number has not done this one")
    func equivocation() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()])
        _ = machine.judge([try signer.next(at: StreamID(1)).0, try signer.next(at: StreamID(2)).0])
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        let order = signer.order(102, [.everything])
        #expect(said.verdict(on: order, mark: [], at: StreamID(2)) == .refused(.replayed))
    }

    @Test("Refusals that are not remembered any more are not spoken of")
    func forgottenRefusals() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()])
        let (entry, order) = try signer.next(at: StreamID(1))
        _ = machine.judge([entry])
        // Its number again, with something else: refused, and then so much else is refused that this is forgotten.
        let other = signer.order(101, [.everything])
        let payload = try other.signed(by: signer.key)
        _ = machine.judge([StreamEntry(id: StreamID(2), payload: payload)])
        _ = machine.judge((3...1100).map { StreamEntry(id: StreamID($0), payload: nil) })
        _ = machine.judge([try signer.next(at: StreamID(2000)).0])
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        #expect(said.verdict(on: other, mark: Refusal.mark(of: payload), at: StreamID(2)) != .done)
        #expect(said.verdict(on: order, mark: Refusal.mark(of: entry.payload), at: StreamID(1)) == .silent)
    }

    @Test("Refusals on the way from the stream's beginning are no news, but are not taken for done either")
    func rereading() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()], since: 1_000_000_000_000, joins: false)
        #expect(machine.joined(generation: .test, anchor: nil) == [.confirm(.everything, .noRecord)])
        let (old, order) = try signer.next(at: StreamID(1), time: 5)
        let judgement = machine.judge([old])
        #expect(judgement.known == 1 && judgement.refused.isEmpty && judgement.steps.isEmpty)
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        #expect(said.verdict(on: order, mark: Refusal.mark(of: old.payload), at: StreamID(1)) == .refused(.tooOld))
    }

    @Test("The record survives, and a damaged one counts as none")
    func record() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()])
        _ = machine.judge([
            try signer.next(at: StreamID(1)).0, StreamEntry(id: StreamID(2), payload: nil),
            try signer.next(at: StreamID(3)).0,
        ])
        machine.caughtUp(at: 99)
        let bytes = machine.record.encoded
        #expect(FollowRecord(encoded: bytes) == machine.record)
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 4
            #expect(FollowRecord(encoded: changed) == nil)
        }
        #expect(FollowRecord(encoded: []) == nil)
        var again = Self.machine([signer.listed()], record: FollowRecord(encoded: bytes), joins: false)
        #expect(again.position == StreamID(3))
        #expect(Self.purges(again.judge([try signer.next(at: StreamID(4)).0])) == [103])
        // Another fleet's record is none.
        let other = FollowMachine(fleet: "else", signers: [], record: machine.record, since: 0)
        #expect(other.position == .zero && other.record.signers.isEmpty)
    }

    @Test("Part of an order that no cache can store is refused as a whole in the acknowledgement")
    func unusable() throws {
        var signer = TestSigner("ops")
        var machine = Self.machine([signer.listed()])
        let (entry, order) = try signer.next(at: StreamID(1), [.url("no url"), .url("https://www.test/")])
        guard case .purge(let read, let refusal)? = machine.judge([entry]).steps.last else {
            Issue.record("no step")
            return
        }
        machine.refused(read, refusal)
        let said = try #require(machine.acknowledgement(edge: "paris", time: 0))
        #expect(said.verdict(on: order, mark: Refusal.mark(of: entry.payload), at: StreamID(1)) == .refused(.unusable))
        #expect(said.verdict(on: order, mark: [], at: StreamID(1)) != .done)
    }
}
