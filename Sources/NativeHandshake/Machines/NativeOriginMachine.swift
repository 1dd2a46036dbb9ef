import Crypto
public import NIOCore
import TLSWire

/// What the origin brings to a handshake, once the hello has told which site is meant.
public struct NativeOrigin: Sendable {
    /// DER, leaf first.
    public var chain: [[UInt8]]
    public var keyKind: NativeKeyKind
    /// Accepted, preferred first: the origin's preference decides.
    public var suites: [NativeSuite]
    public var variants: Set<NativeVariant>

    /// - Throws: ``NativeError/unsupportedKey(_:)`` for a chain that does not fit into the certificate information.
    public init(
        chain: [[UInt8]], keyKind: NativeKeyKind, suites: [NativeSuite] = NativeSuite.allCases,
        variants: Set<NativeVariant> = Set(NativeVariant.allCases)
    ) throws(NativeError) {
        let bytes: Int = chain.reduce(64) { $0 + $1.count + 2 }
        guard (1...NativeNumbers.maximumCertificates).contains(chain.count), bytes <= NativeNumbers.maximumOriginBody
        else {
            throw .unsupportedKey(
                "the chain has \(chain.count) certificates and \(bytes) bytes;"
                    + " at most \(NativeNumbers.maximumCertificates) and \(NativeNumbers.maximumOriginBody) may be")
        }
        self.chain = chain
        self.keyKind = keyKind
        self.suites = suites
        self.variants = variants
    }
}

/// The origin's side of the native handshake, both variants. Pure: records in, what to do out.
///
/// It never sees the private key: signatures and decryptions are actions, and their results come back as events, so that
/// any key store can serve it, on any thread. While one is under way, ``wantsFrame`` is false: hold records back.
///
/// Which inputs are whose:
/// - our bug (``NativeError/internalFailure(_:)``): an event that answers no action;
/// - the peer's violation (thrown, and the handshake is over): every record that is not the next one expected;
/// - silently dropped: nothing.
///
/// A secret that does not decrypt is not told apart from one that does: the machine goes on with a random one, and the
/// client's Finished fails.
public struct NativeOriginMachine: Sendable {
    /// What to do next.
    public enum Action: Sendable {
        /// Hand in the next record.
        case wait
        /// Find the site, and call ``NativeOriginMachine/serve(_:)``, or give up.
        case chooseSite(NativeHello)
        /// Sign this with the site's key (RSA-PSS or ECDSA, with SHA-256), and call ``NativeOriginMachine/signed(_:)``.
        case sign(content: [UInt8])
        /// Decrypt this with the site's key, and call ``NativeOriginMachine/decrypted(_:)`` with nil if it does not decrypt.
        case decrypt(SealedSecret)
        /// Send this, then wait.
        case send(ByteBuffer)
        /// Send this, if it is there. The handshake is over, and the client has proved to have the key.
        case established(send: ByteBuffer?, NativeSession)
    }

    private struct Chosen {
        var variant: NativeVariant
        var schedule: NativeKeySchedule
        var keyKind: NativeKeyKind
        var originRandom: [UInt8]
    }

    private struct Received {
        var chosen: Chosen
        var share: [UInt8]?
        var binding: [UInt8]
        /// Up to the first proof.
        var proofHash: [UInt8]
    }

    private enum State {
        case awaitsHello
        case awaitsSite(NativeHello)
        case signsInformation(Chosen, information: ByteBuffer)
        case awaitsSecret(Chosen)
        case decrypts(Received)
        case signsSecondRandom(Chosen, message: ByteBuffer, symmetric: SymmetricKey, shared: SymmetricKey)
        /// Client-derived: the origin's Finished is the answer.
        case awaitsFinished(NativeAgreedKeys, answers: Bool)
        case ended
    }

    private let entropy: NativeEntropy
    private let showsSecrets: Bool
    private var state = State.awaitsHello
    private var transcript = NativeTranscript()
    private var steps: [NativeStep] = []

    /// - Parameter showsSecrets: Whether ``takeSteps()`` tells the first four bytes of secrets, for demonstrations.
    public init(showsSecrets: Bool = false) {
        self.init(showsSecrets: showsSecrets, entropy: .system)
    }

    init(showsSecrets: Bool = false, entropy: NativeEntropy) {
        self.showsSecrets = showsSecrets
        self.entropy = entropy
    }

    /// Whether the machine can take the next record.
    public var wantsFrame: Bool {
        switch self.state {
        case .awaitsHello, .awaitsSecret, .awaitsFinished: true
        case .awaitsSite, .signsInformation, .decrypts, .signsSecondRandom, .ended: false
        }
    }

    /// What happened since this was last called.
    public mutating func takeSteps() -> [NativeStep] {
        defer { self.steps = [] }
        return self.steps
    }

    public mutating func receive(_ frame: NativeFrame) throws(NativeError) -> Action {
        let state: State = self.state
        self.state = .ended
        if frame.type == .alert { throw try .alert(frame.alert) }
        switch state {
        case .awaitsHello:
            let hello = try NativeHello(frame)
            self.transcript.add(frame.record)
            self.steps.append(
                .helloRead(
                    hello.variant, serverName: hello.serverName.rawValue, nonce: NativeStep.short(hello.nonce)))
            self.state = .awaitsSite(hello)
            return .chooseSite(hello)
        case .awaitsSecret(let chosen): return try self.secret(frame, chosen)
        case .awaitsFinished(let keys, let answers): return try self.finished(frame, keys, answers: answers)
        case .awaitsSite, .signsInformation, .decrypts, .signsSecondRandom, .ended: throw .unexpectedMessage
        }
    }

    // MARK: Certificate information

    /// The site that the hello asked for. Chooses a suite and has the certificate information signed.
    public mutating func serve(_ origin: NativeOrigin) throws(NativeError) -> Action {
        guard case .awaitsSite(let hello) = self.state else { throw .internalFailure("no hello to serve") }
        self.state = .ended
        guard origin.variants.contains(hello.variant) else { throw .variantNotAllowed(hello.variant) }
        guard let suite = origin.suites.first(where: { hello.suites.contains($0.rawValue) }) else {
            throw .nothingInCommon("suites")
        }
        guard hello.keyKinds.contains(origin.keyKind.rawValue) else {
            throw .nothingInCommon("the site's key is \(origin.keyKind), which the client does not accept")
        }
        let message = CertificateInformation(
            originRandom: self.entropy.random(), suite: suite, keyKind: origin.keyKind, chain: origin.chain)
        let record: ByteBuffer = message.record()
        self.transcript.chose(suite)
        self.transcript.add(record)
        self.steps.append(
            .certificateInformationMade(
                suite, origin.keyKind, certificates: origin.chain.count,
                originRandom: NativeStep.short(message.originRandom)))
        let chosen = Chosen(
            variant: hello.variant, schedule: NativeKeySchedule(suite), keyKind: origin.keyKind,
            originRandom: message.originRandom)
        self.state = .signsInformation(chosen, information: record)
        return .sign(
            content: NativeContext.certificateInformation.signedContent(transcriptHash: self.transcript.hash))
    }

    /// The signature that ``Action/sign(content:)`` asked for.
    public mutating func signed(_ signature: [UInt8]) throws(NativeError) -> Action {
        let state: State = self.state
        self.state = .ended
        var output: ByteBuffer
        switch state {
        case .signsInformation(let chosen, let information):
            output = information
            self.emit(Proof(signature: signature), &output)
            self.steps.append(.proofMade(bytes: signature.count))
            self.state = .awaitsSecret(chosen)
        case .signsSecondRandom(let chosen, let message, let symmetric, let shared):
            output = message
            self.emit(Proof(signature: signature), &output)
            self.steps.append(.proofMade(bytes: signature.count))
            let hash: [UInt8] = self.transcript.hash
            let keys = NativeAgreedKeys(
                schedule: chosen.schedule, symmetricKey: symmetric, shared: shared, transcriptHash: hash)
            self.emit(Finished(mac: keys.mac(.origin, transcriptHash: hash)), &output)
            self.steps.append(.finishedMade)
            self.state = .awaitsFinished(keys, answers: false)
        default: throw .internalFailure("nothing to sign")
        }
        return .send(output)
    }

    // MARK: The encrypted secret

    private mutating func secret(_ frame: NativeFrame, _ chosen: Chosen) throws(NativeError) -> Action {
        let message = try KeyGenerationInformation.decode(frame)
        guard (message.share != nil) == (chosen.variant == .originDerived) else { throw .malformed("share") }
        let proofHash: [UInt8] = self.transcript.hash
        let binding: [UInt8] = NativeContext.binding(
            chosen.variant, transcriptHash: proofHash, share: message.share)
        let sealed = try SealedSecret(
            chosen.keyKind, message.encryptedSecret, info: NativeContext.secretLabel(chosen.variant), binding: binding)
        self.transcript.add(frame.record)
        self.steps.append(.secretReceived(bytes: message.encryptedSecret.count))
        self.state = .decrypts(
            Received(chosen: chosen, share: message.share, binding: binding, proofHash: proofHash))
        return .decrypt(sealed)
    }

    /// What ``Action/decrypt(_:)`` gave; nil, or anything else that is not the secret, goes on with a random one.
    public mutating func decrypted(_ plaintext: [UInt8]?) throws(NativeError) -> Action {
        guard case .decrypts(let received) = self.state else { throw .internalFailure("nothing to decrypt") }
        self.state = .ended
        let chosen: Chosen = received.chosen
        let secret: [UInt8] = SealedSecret.open(
            chosen.keyKind, plaintext: plaintext, binding: received.binding, orElse: self.entropy.random())
        self.steps.append(.secretDecrypted)
        switch chosen.variant {
        case .originDerived:
            return try self.sendSecondRandom(firstRandom: secret, received)
        case .clientDerived:
            let symmetric = SymmetricKey(data: secret)
            self.derived(symmetric)
            let keys = NativeAgreedKeys(
                schedule: chosen.schedule, symmetricKey: symmetric, shared: nil, transcriptHash: self.transcript.hash)
            self.state = .awaitsFinished(keys, answers: true)
            return .wait
        }
    }

    private mutating func sendSecondRandom(
        firstRandom: [UInt8], _ received: Received
    ) throws(NativeError) -> Action {
        let chosen: Chosen = received.chosen
        let share: Curve25519.KeyAgreement.PrivateKey = self.entropy.share()
        let shared: SymmetricKey = try share.shared(with: received.share ?? [])
        let secondRandom: [UInt8] = self.entropy.random()
        self.steps.append(.secondRandomMade(NativeStep.short(secondRandom)))
        let symmetric: SymmetricKey = chosen.schedule.symmetricKey(
            firstRandom: firstRandom, secondRandom: secondRandom, transcriptHash: received.proofHash)
        self.derived(symmetric)
        var record = ByteBuffer()
        self.emit(
            SecondRandom(random: secondRandom, share: Array(share.publicKey.rawRepresentation)), &record)
        self.state = .signsSecondRandom(chosen, message: record, symmetric: symmetric, shared: shared)
        return .sign(content: NativeContext.secondRandom.signedContent(transcriptHash: self.transcript.hash))
    }

    // MARK: Finished

    private mutating func finished(
        _ frame: NativeFrame, _ keys: NativeAgreedKeys, answers: Bool
    ) throws(NativeError) -> Action {
        let message = try Finished.decode(frame)
        guard keys.isValid(message.mac, .client, transcriptHash: self.transcript.hash) else { throw .badFinished }
        self.transcript.add(frame.record)
        self.steps.append(.finishedVerified)
        var output: ByteBuffer?
        if answers {
            var record = ByteBuffer()
            self.emit(Finished(mac: keys.mac(.origin, transcriptHash: self.transcript.hash)), &record)
            self.steps.append(.finishedMade)
            output = record
        }
        return .established(send: output, keys.session(.origin))
    }

    private mutating func derived(_ symmetric: SymmetricKey) {
        guard self.showsSecrets else { return }
        self.steps.append(.symmetricKeyDerived(symmetric.withUnsafeBytes { NativeStep.short($0) }))
    }

    private mutating func emit(_ message: some NativeMessage, _ output: inout ByteBuffer) {
        var record: ByteBuffer = message.record()
        self.transcript.add(record)
        output.writeBuffer(&record)
    }
}
