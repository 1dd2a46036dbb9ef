internal import Crypto
internal import Foundation
internal import KeyProtocol

/// Why an edge did not do what an entry orders.
public enum RefusalReason: UInt8, Sendable, CaseIterable {
    case malformed = 1
    case otherFleet = 2
    case unknownSigner = 3
    case badSignature = 4
    /// Its counter has been seen before.
    case replayed = 5
    case otherGeneration = 6
    /// The signer may not purge this.
    case notAllowed = 7
    /// Older than anything this edge stores, by a signer that it has not heard before.
    case tooOld = 8
    /// It names something that is no URL, prefix, host or tag.
    case unusable = 9

    /// For labels of metrics.
    public var word: String {
        switch self {
        case .malformed: "malformed"
        case .otherFleet: "other-fleet"
        case .unknownSigner: "unknown-signer"
        case .badSignature: "bad-signature"
        case .replayed: "replayed"
        case .otherGeneration: "other-generation"
        case .notAllowed: "not-allowed"
        case .tooOld: "too-old"
        case .unusable: "unusable"
        }
    }

    /// In a few words, after "refused: ".
    public var text: String {
        switch self {
        case .malformed: "it is no purge order"
        case .otherFleet: "it is another fleet's"
        case .unknownSigner: "its signer is not listed there"
        case .badSignature: "its signature is wrong"
        case .replayed:
            "its number has been used before: the key is used elsewhere too, or its .counter file is an old copy"
        case .otherGeneration: "it was written for another generation of the stream"
        case .notAllowed: "its signer may not purge that"
        case .tooOld: "it is older than what that edge stores, by a signer that is new there; compare the clocks"
        case .unusable: "it names something that can't be stored"
        }
    }
}

public struct Refusal: Equatable, Sendable {
    public var id: StreamID
    /// The first 16 bytes of the SHA-256 of the entry's payload: the bus may tell its reader another id.
    public var mark: [UInt8]
    public var reason: RefusalReason

    public init(id: StreamID, mark: [UInt8], reason: RefusalReason) {
        self.id = id
        self.mark = mark
        self.reason = reason
    }

    public static func mark(of payload: [UInt8]?) -> [UInt8] {
        Array(SHA256.hash(data: Data(payload ?? [])).prefix(16))
    }
}

/// What an edge remembers of the purges it has followed; kept beside its disk store.
public struct FollowRecord: Equatable, Sendable {
    public var fleet: String
    /// nil: it has never seen the stream.
    public var generation: Generation?
    /// The last entry that was judged and done; zero: none.
    public var last: StreamID = .zero
    /// SHA-256 of that entry's payload.
    public var digest: [UInt8] = []
    public var signers: [SignerKey: SignerProgress] = [:]
    /// What came up to here has been acknowledged, as far as is known.
    public var reported: StreamID = .zero
    /// The latest, in order; those behind `reported` are all here.
    public var refusals: [Refusal] = []
    /// When this edge last knew that it had read all there was: milliseconds since 1970, by its own clock.
    public var followedUntil: Int64 = 0

    /// More refusals than two batches can have.
    static let refusalLimit = 1024

    public init(fleet: String) {
        self.fleet = fleet
    }

    mutating func refuse(_ refusal: Refusal) {
        self.refusals.append(refusal)
        // What it can't tell any more, it does not speak of.
        if self.refusals.count > Self.refusalLimit {
            self.reported = max(self.reported, self.refusals.removeFirst().id)
        }
    }

    static func digest(of payload: [UInt8]?) -> [UInt8] {
        Array(SHA256.hash(data: Data(payload ?? [])))
    }
}

extension FollowRecord {
    private static let magic: [UInt8] = Array("LSFF".utf8) + [2]

    /// As it is kept in a file: with its own digest at the end, so that a damaged file is not taken for a record.
    public var encoded: [UInt8] {
        var writer = FieldWriter()
        writer.write(Self.magic)
        writer.writeCounted(Array(self.fleet.utf8), by: UInt8.self)
        writer.writeCounted(self.generation?.bytes ?? [], by: UInt8.self)
        writer.write(self.last)
        writer.writeCounted(self.digest, by: UInt8.self)
        writer.write(self.reported)
        writer.write(self.followedUntil)
        writer.write(self.signers)
        writer.write(self.refusals)
        return writer.bytes + Self.digest(of: writer.bytes)
    }

    /// nil unless it is what ``encoded`` made.
    public init?(encoded: [UInt8]) {
        guard encoded.count > 32 else { return nil }
        let content = Array(encoded.dropLast(32))
        guard Self.digest(of: content) == Array(encoded.suffix(32)) else { return nil }
        var reader = FieldReader(content)
        guard reader.bytes(Self.magic.count) == Self.magic, let fleet = reader.text(by: UInt8.self),
            PartyName.isLegal(fleet), let generation = reader.counted(by: UInt8.self), let last = reader.streamID(),
            let digest = reader.counted(by: UInt8.self), let reported = reader.streamID(),
            let followedUntil = reader.integer(as: Int64.self), let signers = reader.signers(),
            let refusals = reader.refusals(), reader.isAtEnd
        else { return nil }
        self.init(fleet: fleet)
        self.generation = Generation(generation)
        guard generation.isEmpty || self.generation != nil else { return nil }
        self.last = last
        self.digest = digest
        self.reported = reported
        self.followedUntil = followedUntil
        self.signers = signers
        self.refusals = refusals
    }
}
