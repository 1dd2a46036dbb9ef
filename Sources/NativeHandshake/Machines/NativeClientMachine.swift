import Crypto
public import NIOCore
public import TLSWire

/// The client's side of the native handshake, both variants. Pure: records in, what to do out.
///
/// Which inputs are whose:
/// - our bug (``NativeError/internalFailure(_:)``): ``chainVerified(_:)`` or ``start()`` out of turn;
/// - the peer's violation (thrown, and the handshake is over): every record that is not the next one expected;
/// - silently dropped: nothing.
///
/// What the machine cannot know is asked: ``Action/verifyChain(_:)`` hands the chain out, to be verified for the server's
/// name, its dates and its authority. No secret is made before that and the first signature have been verified.
public struct NativeClientMachine: Sendable {
    /// What to do next.
    public enum Action: Sendable {
        /// Hand in the next record.
        case wait
        /// Verify the chain (DER, leaf first), then call ``NativeClientMachine/chainVerified(_:)``, or give up.
        case verifyChain([[UInt8]])
        /// Send this, then wait.
        case send(ByteBuffer)
        /// Send this, if it is there. The handshake is over and everything was verified.
        case established(send: ByteBuffer?, NativeSession)
    }

    private struct Offer {
        var information: CertificateInformation
        var signature: [UInt8]
        /// What the signature must be over.
        var signedHash: [UInt8]
    }

    private struct Pending {
        var schedule: NativeKeySchedule
        var key: OriginPublicKey
        var firstRandom: [UInt8]
        var share: Curve25519.KeyAgreement.PrivateKey
        /// Up to the first proof.
        var proofHash: [UInt8]
    }

    private enum State {
        case idle
        case awaitsInformation
        case awaitsProof(CertificateInformation)
        case awaitsVerdict(Offer)
        case awaitsSecondRandom(Pending)
        case awaitsSecondProof(Pending, SecondRandom)
        /// Origin-derived: the origin's Finished comes first. Client-derived: ours has gone.
        case awaitsFinished(NativeAgreedKeys, answers: Bool)
        case ended
    }

    private let variant: NativeVariant
    private let serverName: ServerName
    private let suites: [NativeSuite]
    private let keyKinds: [NativeKeyKind]
    private let entropy: NativeEntropy
    private let showsSecrets: Bool
    private var state = State.idle
    private var transcript = NativeTranscript()
    private var steps: [NativeStep] = []

    /// - Parameters:
    ///   - suites: Accepted, preferred first.
    ///   - keyKinds: Kinds of certificate keys accepted.
    ///   - showsSecrets: Whether ``takeSteps()`` tells the first four bytes of secrets, for demonstrations.
    public init(
        variant: NativeVariant, serverName: ServerName, suites: [NativeSuite] = NativeSuite.allCases,
        keyKinds: [NativeKeyKind] = NativeKeyKind.allCases, showsSecrets: Bool = false
    ) {
        self.init(
            variant: variant, serverName: serverName, suites: suites, keyKinds: keyKinds, showsSecrets: showsSecrets,
            entropy: .system)
    }

    init(
        variant: NativeVariant, serverName: ServerName, suites: [NativeSuite] = NativeSuite.allCases,
        keyKinds: [NativeKeyKind] = NativeKeyKind.allCases, showsSecrets: Bool = false, entropy: NativeEntropy
    ) {
        self.variant = variant
        self.serverName = serverName
        self.suites = suites
        self.keyKinds = keyKinds
        self.entropy = entropy
        self.showsSecrets = showsSecrets
    }

    /// What happened since this was last called.
    public mutating func takeSteps() -> [NativeStep] {
        defer { self.steps = [] }
        return self.steps
    }

    /// The hello to send.
    public mutating func start() throws(NativeError) -> ByteBuffer {
        guard case .idle = self.state else { throw .internalFailure("started twice") }
        guard !self.suites.isEmpty, !self.keyKinds.isEmpty else {
            throw .internalFailure("there is no suite, or no kind of key, to offer; name one at least")
        }
        let hello = NativeHello(
            variant: self.variant, nonce: self.entropy.random(), suites: self.suites, keyKinds: self.keyKinds,
            serverName: self.serverName)
        self.state = .awaitsInformation
        self.steps.append(.helloMade(nonce: NativeStep.short(hello.nonce)))
        return self.emit(hello)
    }

    public mutating func receive(_ frame: NativeFrame) throws(NativeError) -> Action {
        // Whatever is thrown ends the handshake.
        let state: State = self.state
        self.state = .ended
        if frame.type == .alert { throw try .alert(frame.alert) }
        switch state {
        case .awaitsInformation: return try self.information(frame)
        case .awaitsProof(let information): return try self.proof(frame, information)
        case .awaitsSecondRandom(let pending):
            let message = try SecondRandom.decode(frame)
            self.transcript.add(frame.record)
            self.steps.append(.secondRandomRead(NativeStep.short(message.random)))
            self.state = .awaitsSecondProof(pending, message)
            return .wait
        case .awaitsSecondProof(let pending, let message): return try self.secondProof(frame, pending, message)
        case .awaitsFinished(let keys, let answers): return try self.finished(frame, keys, answers: answers)
        case .idle, .awaitsVerdict, .ended: throw .unexpectedMessage
        }
    }

    private mutating func information(_ frame: NativeFrame) throws(NativeError) -> Action {
        let message = try CertificateInformation.decode(frame)
        guard self.suites.contains(message.suite) else { throw .notOffered("suite") }
        guard self.keyKinds.contains(message.keyKind) else { throw .notOffered("key kind") }
        self.transcript.chose(message.suite)
        self.transcript.add(frame.record)
        self.steps.append(
            .certificateInformationRead(
                message.suite, message.keyKind, certificates: message.chain.count,
                originRandom: NativeStep.short(message.originRandom)))
        self.state = .awaitsProof(message)
        return .wait
    }

    private mutating func proof(
        _ frame: NativeFrame, _ information: CertificateInformation
    ) throws(NativeError) -> Action {
        let message = try Proof.decode(frame)
        let offer = Offer(
            information: information, signature: message.signature, signedHash: self.transcript.hash)
        self.transcript.add(frame.record)
        self.state = .awaitsVerdict(offer)
        return .verifyChain(information.chain)
    }

    /// The chain is verified, and this is its leaf's key. Verifies the signature over the certificate information, and only
    /// then makes the first random.
    public mutating func chainVerified(_ key: OriginPublicKey) throws(NativeError) -> Action {
        guard case .awaitsVerdict(let offer) = self.state else { throw .internalFailure("no chain to verify") }
        self.state = .ended
        guard key.kind == offer.information.keyKind else { throw .notOffered("key kind") }
        let content: [UInt8] = NativeContext.certificateInformation.signedContent(transcriptHash: offer.signedHash)
        guard key.isValid(signature: offer.signature, for: content) else { throw .badSignature }
        self.steps.append(.proofVerified(bytes: offer.signature.count))

        let schedule = NativeKeySchedule(offer.information.suite)
        let firstRandom: [UInt8] = self.entropy.random()
        if self.showsSecrets { self.steps.append(.firstRandomMade(NativeStep.short(firstRandom))) }
        switch self.variant {
        case .originDerived: return try self.sendFirstRandom(firstRandom, key, schedule)
        case .clientDerived:
            return try self.sendSymmetricKey(
                firstRandom, secondRandom: offer.information.originRandom, key, schedule)
        }
    }

    // MARK: Origin-derived

    private mutating func sendFirstRandom(
        _ firstRandom: [UInt8], _ key: OriginPublicKey, _ schedule: NativeKeySchedule
    ) throws(NativeError) -> Action {
        let pending = Pending(
            schedule: schedule, key: key, firstRandom: firstRandom, share: self.entropy.share(),
            proofHash: self.transcript.hash)
        let share = Array(pending.share.publicKey.rawRepresentation)
        let information = try self.seal(SymmetricKey(data: firstRandom), key, share: share, pending.proofHash)
        self.state = .awaitsSecondRandom(pending)
        return .send(self.emit(information))
    }

    private mutating func secondProof(
        _ frame: NativeFrame, _ pending: Pending, _ second: SecondRandom
    ) throws(NativeError) -> Action {
        let message = try Proof.decode(frame)
        let content: [UInt8] = NativeContext.secondRandom.signedContent(transcriptHash: self.transcript.hash)
        guard pending.key.isValid(signature: message.signature, for: content) else { throw .badSignature }
        self.steps.append(.proofVerified(bytes: message.signature.count))
        self.transcript.add(frame.record)
        let symmetric: SymmetricKey = pending.schedule.symmetricKey(
            firstRandom: pending.firstRandom, secondRandom: second.random, transcriptHash: pending.proofHash)
        self.derived(symmetric)
        let shared: SymmetricKey = try pending.share.shared(with: second.share)
        let keys = NativeAgreedKeys(
            schedule: pending.schedule, symmetricKey: symmetric, shared: shared, transcriptHash: self.transcript.hash)
        self.state = .awaitsFinished(keys, answers: true)
        return .wait
    }

    // MARK: Client-derived

    private mutating func sendSymmetricKey(
        _ firstRandom: [UInt8], secondRandom: [UInt8], _ key: OriginPublicKey, _ schedule: NativeKeySchedule
    ) throws(NativeError) -> Action {
        let proofHash: [UInt8] = self.transcript.hash
        let symmetric: SymmetricKey = schedule.symmetricKey(
            firstRandom: firstRandom, secondRandom: secondRandom, transcriptHash: proofHash)
        self.derived(symmetric)
        var output: ByteBuffer = self.emit(try self.seal(symmetric, key, share: nil, proofHash))
        let keys = NativeAgreedKeys(
            schedule: schedule, symmetricKey: symmetric, shared: nil, transcriptHash: self.transcript.hash)
        var finished: ByteBuffer = self.emit(Finished(mac: keys.mac(.client, transcriptHash: self.transcript.hash)))
        self.steps.append(.finishedMade)
        output.writeBuffer(&finished)
        self.state = .awaitsFinished(keys, answers: false)
        return .send(output)
    }

    // MARK: Both

    private mutating func finished(
        _ frame: NativeFrame, _ keys: NativeAgreedKeys, answers: Bool
    ) throws(NativeError) -> Action {
        let message = try Finished.decode(frame)
        guard keys.isValid(message.mac, .origin, transcriptHash: self.transcript.hash) else { throw .badFinished }
        self.transcript.add(frame.record)
        self.steps.append(.finishedVerified)
        var output: ByteBuffer?
        if answers {
            output = self.emit(Finished(mac: keys.mac(.client, transcriptHash: self.transcript.hash)))
            self.steps.append(.finishedMade)
        }
        return .established(send: output, keys.session(.client))
    }

    private mutating func seal(
        _ secret: SymmetricKey, _ key: OriginPublicKey, share: [UInt8]?, _ proofHash: [UInt8]
    ) throws(NativeError) -> KeyGenerationInformation {
        let binding: [UInt8] = NativeContext.binding(self.variant, transcriptHash: proofHash, share: share)
        let sealed: [UInt8] = try self.entropy.seal(key, secret, NativeContext.secretLabel(self.variant), binding)
        self.steps.append(.secretEncrypted(bytes: sealed.count))
        return KeyGenerationInformation(share: share, encryptedSecret: sealed)
    }

    private mutating func derived(_ symmetric: SymmetricKey) {
        guard self.showsSecrets else { return }
        self.steps.append(.symmetricKeyDerived(symmetric.withUnsafeBytes { NativeStep.short($0) }))
    }

    private mutating func emit(_ message: some NativeMessage) -> ByteBuffer {
        let record: ByteBuffer = message.record()
        self.transcript.add(record)
        return record
    }
}

extension NativeFrame {
    /// The alert in an alert record; an unknown number counts as an internal error of the peer.
    var alert: NativeAlert {
        get throws(NativeError) {
            var body: ByteBuffer = self.body
            let code: UInt8 = try body.takeInteger("alert")
            return NativeAlert(rawValue: code) ?? .internalError
        }
    }
}
