/// What an edge does with the entries of the stream: which it carries out, which it refuses, and when it can't be sure that it
/// has seen them all.
///
/// A bus can leave out, repeat, reorder and make up entries. So nothing is done that is not signed by a listed
/// signer; an order is done once, since each signer counts its own; and a number that is left out means that something was
/// purged which this edge does not know: it removes everything then. Where it can't tell whether something was left out (the
/// last entry that it read is no longer there, or the stream is another), all that is stored is confirmed by its origin before
/// it is used again. The bus alone can bring about no more than that.
///
/// Its inputs: entries are the peer's, and any bytes will do. A record with another fleet's name is our own bug and counts as
/// none.
public struct FollowMachine: Sendable {
    /// What to do with the store, in order.
    public enum Step: Equatable, Sendable {
        case purge(PurgeEntry, Refusal)
        /// Orders of a signer that may purge everything are missing.
        case removeAll(signer: String, missing: UInt64)
        /// Orders of a signer are missing that may purge nothing but these hosts.
        case removeHosts([String], signer: String, missing: UInt64)
        /// What is stored is confirmed by its origin before it is used.
        case confirmAll(Doubt)
    }

    /// Why this edge can't be sure that it has seen every order.
    public enum Doubt: String, Sendable, CaseIterable {
        /// It has no record of where it was.
        case noRecord = "no-record"
        /// The stream is another one.
        case otherGeneration = "other-generation"
        /// The last entry that it read is gone: the stream was cut, or its ids went back.
        case lostPlace = "lost-place"
        /// Orders of a signer are missing that may purge some tags, and so parts of every site.
        case missingTags = "missing-tags"
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
        return [.confirmAll(doubt)]
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
        let order: PurgeEntry
        let signer: Signer
        do throws(PurgeEntry.Failure) {
            (order, signer) = try PurgeEntry.open(payload, fleet: self.fleet, signers: self.signers)
        } catch {
            switch error {
            case .malformed: return .malformed
            case .otherFleet: return .otherFleet
            case .unknownSigner: return .unknownSigner
            case .badSignature: return .badSignature
            }
        }
        guard var progress = self.record.signers[order.signer] else {
            return self.begin(order, entry, signer, &judgement)
        }
        guard order.counter > progress.last else {
            // The signer did not hear that it was written, and wrote it again.
            if order.counter == progress.last, order.identity == progress.identity {
                judgement.known += 1
                return nil
            }
            return .replayed
        }
        guard order.generation == self.record.generation else { return .otherGeneration }
        let missing = order.counter - progress.last - 1
        if missing > 0 {
            // No signer can bring about more, by leaving numbers out, than it may purge.
            switch signer.rights {
            case .everything: judgement.steps.append(.removeAll(signer: signer.name, missing: missing))
            case .some(let hosts, let tags) where tags.isEmpty:
                judgement.steps.append(.removeHosts(hosts, signer: signer.name, missing: missing))
            case .some:
                judgement.steps.append(.confirmAll(.missingTags))
                // That is less than what the missing ones may have ordered: they are not claimed.
                progress = SignerProgress(heard: order)
            }
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

    /// The first order of a signer that this edge hears. Those before it are none of its business: it does not claim them.
    private mutating func begin(
        _ order: PurgeEntry, _ entry: StreamEntry, _ signer: Signer, _ judgement: inout Judgement
    ) -> RefusalReason? {
        guard order.generation == self.record.generation else { return .otherGeneration }
        var progress = SignerProgress(heard: order)
        // From before anything was stored, as far as clocks can be believed: nothing to be done, and no way to empty a new edge
        // with orders of old.
        let isNew = order.time >= self.since - Self.clockTolerance
        let isAllowed = signer.rights.allow(order.purge)
        if !isNew || !isAllowed { progress.except(order.counter) }
        self.record.signers[order.signer] = progress
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
