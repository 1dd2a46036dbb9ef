/// What an edge does with the entries of the stream: which it carries out, which it refuses, and when it can't be sure that it
/// has seen them all.
///
/// A bus can leave out, repeat, reorder and make up entries. So nothing is done that is not signed by a listed
/// signer; an order is done once, since each signer counts its own; and a number that is left out means that something was
/// purged which this edge does not know: it removes all that the signer may purge. Where it can't tell whether something was left out (the
/// last entry that it read is no longer there, or the stream is another), all that is stored is confirmed by its origin before
/// it is used again. The bus alone can bring about no more than that.
///
/// Its inputs: entries are the peer's, and any bytes will do. A record with another fleet's name is our own bug and counts as
/// none.
public struct FollowMachine: Sendable {
    /// What to do with the store, in order.
    public enum Step: Equatable, Sendable {
        case purge(PurgeEntry, Refusal)
        /// Orders of a signer are missing: all that it may purge is removed.
        case remove(PurgeRights, signer: String, missing: UInt64)
        /// What is stored of this is confirmed by its origin before it is used.
        case confirm(PurgeRights, Doubt)
    }

    /// Why this edge can't be sure that it has seen every order.
    public enum Doubt: String, Sendable, CaseIterable {
        /// It has no record of where it was.
        case noRecord = "no-record"
        /// The stream is another one.
        case otherGeneration = "other-generation"
        /// The last entry that it read is gone: the stream was cut, or its ids went back.
        case lostPlace = "lost-place"
        /// A signer is heard for the first time, or for the first time with an order that is not too old: what it ordered before
        /// is not known.
        case newSigner = "new-signer"
    }

    /// What became of some entries.
    public struct Judgement: Equatable, Sendable {
        public var steps: [Step] = []
        public var refused: [Refusal] = []
        /// Orders that are done already, met again where the stream is read from its beginning.
        public var known = 0

        public init() {}
    }

    /// By how much clocks may differ where an order's time counts at all.
    public static let clockTolerance: Int64 = 10 * 60 * 1000

    private let fleet: String
    private let signers: [SignerKey: Signer]
    /// Nothing is stored from before: milliseconds since 1970, by this edge's clock.
    private let since: Int64
    public private(set) var record: FollowRecord
    /// The stream is read from its beginning, orders that are done included.
    private var isRereading = false

    /// - Parameters:
    ///   - record: what was kept; nil: nothing.
    ///   - since: when the store began to be filled, or the record's `followedUntil` if it has been followed since.
    public init(fleet: String, signers: [Signer], record: FollowRecord?, since: Int64) {
        self.fleet = fleet
        self.signers = Dictionary(signers.map { ($0.key, $0) }) { first, _ in first }
        self.since = since
        self.record = record.flatMap { $0.fleet == fleet ? $0 : nil } ?? FollowRecord(fleet: fleet)
    }

    /// Where reading goes on: behind this entry.
    public var position: StreamID { self.record.last }

    /// The bus is there.
    ///
    /// - Parameters:
    ///   - generation: what the bus says the stream is.
    ///   - anchor: the entry at ``position``, if it is there.
    public mutating func joined(generation: Generation, anchor: StreamEntry?) -> [Step] {
        guard let doubt = self.doubt(generation, anchor) else { return [] }
        if self.record.generation != generation { self.record.refusals = [] }
        self.record.generation = generation
        self.record.last = .zero
        self.record.digest = []
        self.record.reported = .zero
        self.isRereading = true
        return [.confirm(.everything, doubt)]
    }

    /// Whether the stream still holds the place up to which it was read.
    public func holdsPlace(generation: Generation, anchor: StreamEntry?) -> Bool {
        self.doubt(generation, anchor) == nil
    }

    private func doubt(_ generation: Generation, _ anchor: StreamEntry?) -> Doubt? {
        guard let known = self.record.generation else { return .noRecord }
        guard known == generation else { return .otherGeneration }
        // A stream that was empty when it was last looked at has no place to lose.
        if self.record.last == .zero { return nil }
        guard let anchor, anchor.id == self.record.last,
            FollowRecord.digest(of: anchor.payload) == self.record.digest
        else { return .lostPlace }
        return nil
    }

    /// Judges the entries behind ``position``, in order.
    public mutating func judge(_ entries: [StreamEntry]) -> Judgement {
        var judgement = Judgement()
        for entry in entries where entry.id > self.record.last {
            if let reason = self.judge(entry, &judgement) {
                let refusal = Refusal(id: entry.id, mark: Refusal.mark(of: entry.payload), reason: reason)
                self.record.refuse(refusal)
                // On the way from the stream's beginning, what is old is to be expected.
                if self.isRereading, reason == .replayed || reason == .tooOld {
                    judgement.known += 1
                } else {
                    judgement.refused.append(refusal)
                }
            }
            self.record.last = entry.id
            self.record.digest = FollowRecord.digest(of: entry.payload)
        }
        return judgement
    }

    private mutating func judge(_ entry: StreamEntry, _ judgement: inout Judgement) -> RefusalReason? {
        guard let payload = entry.payload else { return .malformed }
        let unverified: PurgeEntry.Unverified
        do throws(PurgeEntry.Failure) {
            unverified = try PurgeEntry.read(payload, fleet: self.fleet, signers: self.signers)
        } catch {
            switch error {
            case .malformed: return .malformed
            case .otherFleet: return .otherFleet
            case .unknownSigner: return .unknownSigner
            case .badSignature: return .badSignature
            }
        }
        let order = unverified.entry
        let signer = unverified.signer
        let heard = self.record.signers[order.signer]
        if let heard, order.counter <= heard.last {
            // Nothing comes of it, whether the signer has signed it or not: so that is not looked at.
            guard order.counter == heard.last, order.identity == heard.identity else { return .replayed }
            guard heard.includes(order.counter) else {
                return signer.rights.allow(order.purge) ? .replayed : .notAllowed
            }
            // The signer did not hear that it was written, and wrote it again.
            judgement.known += 1
            return nil
        }
        guard unverified.isSigned else { return .badSignature }
        guard order.generation == self.record.generation else { return .otherGeneration }
        guard var progress = heard, progress.isBegun else {
            return self.begin(order, entry, signer, heard: heard, &judgement)
        }
        let missing = order.counter - progress.last - 1
        if missing > 0 {
            // No signer can bring about more, by leaving numbers out, than it may purge.
            judgement.steps.append(.remove(signer.rights, signer: signer.name, missing: missing))
            // The missing ones may have named more than it may purge: these were not done, and are not claimed.
            if signer.rights != .everything { progress = SignerProgress(heard: order) }
        }
        progress.last = order.counter
        progress.identity = order.identity
        let isAllowed = signer.rights.allow(order.purge)
        if !isAllowed { progress.except(order.counter) }
        self.record.signers[order.signer] = progress
        guard isAllowed else { return .notAllowed }
        judgement.steps.append(.purge(order, Self.unusable(entry)))
        return nil
    }

    /// An order of a signer of which this edge has heard nothing yet, or nothing but orders that were too old. It does not claim
    /// those before, and can't know whether there were any: what they may have named is confirmed.
    ///
    /// From before anything was stored, as far as clocks can be believed, means: nothing to be done, and no way to empty a new
    /// edge with orders of old.
    private mutating func begin(
        _ order: PurgeEntry, _ entry: StreamEntry, _ signer: Signer, heard: SignerProgress?,
        _ judgement: inout Judgement
    ) -> RefusalReason? {
        let isNew = order.time >= self.since - Self.clockTolerance
        let isAllowed = signer.rights.allow(order.purge)
        var progress = SignerProgress(heard: order, isBegun: isNew)
        if !isNew || !isAllowed { progress.except(order.counter) }
        self.record.signers[order.signer] = progress
        let isNext = heard.map { order.counter - $0.last == 1 } ?? false
        // An old one that was held back until now could be of what is stored. On the way from the stream's beginning, all that
        // there is has been confirmed since it was written.
        if isNew ? !isNext : heard == nil && !self.isRereading {
            judgement.steps.append(.confirm(signer.rights, .newSigner))
        }
        guard isNew else { return .tooOld }
        guard isAllowed else { return .notAllowed }
        judgement.steps.append(.purge(order, Self.unusable(entry)))
        return nil
    }

    private static func unusable(_ entry: StreamEntry) -> Refusal {
        Refusal(id: entry.id, mark: Refusal.mark(of: entry.payload), reason: .unusable)
    }

    /// An order that was let through names something that no cache can store.
    public mutating func refused(_ order: PurgeEntry, _ refusal: Refusal) {
        self.record.signers[order.signer]?.except(order.counter)
        self.record.refuse(refusal)
        // They stand in the order of the stream.
        self.record.refusals.sort { $0.id < $1.id }
    }

    /// All that there was has been read.
    public mutating func caughtUp(at now: Int64) {
        self.isRereading = false
        self.record.followedUntil = now
    }

    /// What is to be reported: what came behind what has been reported.
    public func acknowledgement(edge: String, time: Int64) -> EdgeAcknowledgement? {
        guard let generation = self.record.generation else { return nil }
        let from = self.record.reported
        return EdgeAcknowledgement(
            fleet: self.fleet, edge: edge, time: time, generation: generation, from: from, to: self.record.last,
            signers: self.record.signers, refusals: self.record.refusals.filter { $0.id > from })
    }

    /// A report is on the bus.
    public mutating func reported(_ acknowledgement: EdgeAcknowledgement) {
        guard acknowledgement.generation == self.record.generation else { return }
        self.record.reported = max(self.record.reported, acknowledgement.to)
    }
}
