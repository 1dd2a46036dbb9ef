import Crypto

/// What both sides have once the secret is agreed on: keys for the Finished messages and for the stream.
///
/// All of them depend on the transcript up to the message that completed the agreement, so two sides that have not seen
/// the same messages have no key in common.
struct NativeAgreedKeys: Sendable {
    private let schedule: NativeKeySchedule
    private let clientFinished: SymmetricKey
    private let originFinished: SymmetricKey
    let clientSecret: SymmetricKey
    let originSecret: SymmetricKey

    /// - Parameters:
    ///   - shared: The X25519 shared secret; nil in the client-derived variant.
    ///   - transcriptHash: over everything before the first Finished.
    init(
        schedule: NativeKeySchedule, symmetricKey: SymmetricKey, shared: SymmetricKey?, transcriptHash: [UInt8]
    ) {
        let master: SymmetricKey = schedule.master(symmetricKey: symmetricKey, shared: shared)
        self.schedule = schedule
        self.clientFinished = schedule.finishedKey(master, .client, transcriptHash: transcriptHash)
        self.originFinished = schedule.finishedKey(master, .origin, transcriptHash: transcriptHash)
        self.clientSecret = schedule.trafficSecret(master, .client, transcriptHash: transcriptHash)
        self.originSecret = schedule.trafficSecret(master, .origin, transcriptHash: transcriptHash)
    }

    /// The MAC in the Finished of `role`, over everything before it.
    func mac(_ role: NativeRole, transcriptHash: [UInt8]) -> [UInt8] {
        self.schedule.mac(
            role == .client ? self.clientFinished : self.originFinished, transcriptHash: transcriptHash)
    }

    /// Compares in constant time.
    func isValid(_ mac: [UInt8], _ role: NativeRole, transcriptHash: [UInt8]) -> Bool {
        self.schedule.isValid(
            mac, role == .client ? self.clientFinished : self.originFinished, transcriptHash: transcriptHash)
    }

    func session(_ role: NativeRole) -> NativeSession {
        let mine: SymmetricKey = role == .client ? self.clientSecret : self.originSecret
        let theirs: SymmetricKey = role == .client ? self.originSecret : self.clientSecret
        return NativeSession(
            sealer: NativeSealer(self.schedule, secret: mine), opener: NativeOpener(self.schedule, secret: theirs))
    }
}
