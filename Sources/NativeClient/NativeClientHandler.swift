import FoundationEssentials
import NIOCore
import NativeChannel
import NativeHandshake
import SwiftASN1
import TLSWire
import X509

/// Runs the client's machine on a channel, has the chain verified, and gives way to the stream.
final class NativeClientHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let options: NativeOptions
    private let deadline: NIODeadline
    private let journal: NativeJournal
    private let outcome: EventLoopPromise<NativeConnection>
    private var machine: NativeClientMachine
    private var reader = NativeFrameReader(from: .origin)
    private var context: ChannelHandlerContext?
    private var timer: Scheduled<Void>?
    private var verification: Task<Void, Never>?
    private var isVerifying = false
    private var wantsRead = false
    private var isOver = false
    private var chosen: (suite: NativeSuite, kind: NativeKeyKind)?
    private var path: [CertificateSummary] = []

    init(
        options: NativeOptions, deadline: NIODeadline, journal: NativeJournal,
        outcome: EventLoopPromise<NativeConnection>
    ) {
        self.options = options
        self.deadline = deadline
        self.journal = journal
        self.outcome = outcome
        self.machine = NativeClientMachine(
            variant: options.variant, serverName: options.serverName, suites: options.suites,
            keyKinds: options.keyKinds, showsSecrets: options.showsSecrets)
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // It may have been closed in the meantime, and says that to no handler that comes later.
        if context.channel.isActive { self.start(context) } else { self.fail(.truncated) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.verification?.cancel()
        self.context = nil
        self.fail(.truncated)
    }

    func channelActive(context: ChannelHandlerContext) {
        self.start(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(.truncated)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if self.isOver { return context.fireErrorCaught(error) }
        self.isOver = true
        self.outcome.fail(ConnectionFailure(isConnected: true, reason: "the connection broke: \(error)"))
        context.close(promise: nil)
    }

    private func start(_ context: ChannelHandlerContext) {
        guard self.timer == nil else { return }
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: self.deadline) {
            self.fail(.timeout("the native handshake did not end in time"))
        }
        self.journal.note(
            .connected(address: context.remoteAddress.map { "\($0.ipAddress ?? "?"):\($0.port ?? 0)" } ?? "unknown"))
        do throws(NativeError) {
            self.send(try self.machine.start())
        } catch {
            self.fail(error)
        }
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isOver else { return }
        self.reader.receive(self.unwrapInboundIn(data))
        self.pump()
    }

    func read(context: ChannelHandlerContext) {
        // While the chain is being verified, an origin may not fill this side's memory.
        if self.isVerifying {
            self.wantsRead = true
        } else {
            context.read()
        }
    }

    private func pump() {
        do throws(NativeError) {
            while !self.isOver, !self.isVerifying, let frame = try self.reader.next() {
                try self.perform(try self.machine.receive(frame))
            }
        } catch {
            self.fail(error)
        }
        self.tell()
        if self.wantsRead, !self.isVerifying {
            self.wantsRead = false
            self.context?.read()
        }
    }

    /// Passes on what the machine did.
    private func tell() {
        for step in self.machine.takeSteps() {
            if case .certificateInformationRead(let suite, let kind, _, _) = step { self.chosen = (suite, kind) }
            self.journal.note(.step(step))
        }
    }

    private func perform(_ action: NativeClientMachine.Action) throws(NativeError) {
        self.tell()
        switch action {
        case .wait: break
        case .verifyChain(let chain): self.verify(chain)
        case .send(let output): self.send(output)
        case .established(let output, let session):
            if let output { self.send(output) }
            self.established(session)
        }
    }

    private func send(_ output: ByteBuffer) {
        self.tell()
        self.context?.writeAndFlush(self.wrapOutboundOut(output), promise: nil)
    }

    // MARK: The chain

    private func verify(_ chain: [[UInt8]]) {
        guard let context = self.context else { return }
        self.isVerifying = true
        let options: NativeOptions = self.options
        let journal: NativeJournal = self.journal
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        let eventLoop: any EventLoop = context.eventLoop
        self.verification = Task {
            let result: Result<VerifiedOrigin, NativeError>
            do throws(NativeError) {
                result = .success(try await VerifiedOrigin.verify(chain, options, journal))
            } catch {
                result = .failure(error)
            }
            eventLoop.execute { handler.value.verified(result) }
        }
    }

    private func verified(_ result: Result<VerifiedOrigin, NativeError>) {
        guard !self.isOver else { return }
        self.isVerifying = false
        do throws(NativeError) {
            let origin: VerifiedOrigin = try result.get()
            self.path = origin.path
            try self.perform(try self.machine.chainVerified(origin.key))
        } catch {
            return self.fail(error)
        }
        self.pump()
    }

    // MARK: Ends

    private func established(_ session: NativeSession) {
        guard let context = self.context, let chosen = self.chosen else { return }
        self.isOver = true
        self.timer?.cancel()
        self.journal.note(.established(self.options.variant, chosen.suite, chosen.kind))
        do {
            let pipeline = context.channel.pipeline.syncOperations
            if let idle = self.options.idleTimeout {
                try pipeline.addHandlers([IdleStateHandler(allTimeout: idle)], position: .before(self))
            }
            try pipeline.addHandler(NativeStreamHandler(session: session, role: .client))
            let fault = NativeFault()
            try pipeline.addHandler(NativeStreamEnd(fault: fault))
            let channel = try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                wrappingChannelSynchronously: context.channel,
                configuration: .init(isOutboundHalfClosureEnabled: true))
            let rest: ByteBuffer = self.reader.takeRemaining()
            if rest.readableBytes > 0 {
                context.fireChannelRead(self.wrapInboundOut(rest))
                context.fireChannelReadComplete()
            }
            pipeline.removeHandler(context: context, promise: nil)
            self.outcome.succeed(
                NativeConnection(
                    channel: channel, fault: fault, variant: self.options.variant, suite: chosen.suite,
                    keyKind: chosen.kind,
                    path: self.path))
        } catch {
            self.outcome.fail(NativeError.internalFailure("\(error)"))
            context.close(promise: nil)
        }
    }

    private func fail(_ error: NativeError) {
        guard !self.isOver else { return }
        self.isOver = true
        self.timer?.cancel()
        self.verification?.cancel()
        self.outcome.fail(error)
        guard let context = self.context else { return }
        let channel: any Channel = context.channel
        if let alert = error.alert, channel.isActive {
            let written: EventLoopPromise<Void> = context.eventLoop.makePromise()
            written.futureResult.whenComplete { _ in channel.close(promise: nil) }
            context.writeAndFlush(self.wrapOutboundOut(alert.record), promise: written)
        } else {
            channel.close(promise: nil)
        }
    }
}

/// An origin whose chain was verified for the name that was asked for, and by the key directory if there is one.
struct VerifiedOrigin: Sendable {
    let key: OriginPublicKey
    let path: [CertificateSummary]

    static func verify(
        _ chain: [[UInt8]], _ options: NativeOptions, _ journal: NativeJournal
    ) async throws(NativeError) -> VerifiedOrigin {
        let certificates: [Certificate]
        do { certificates = try chain.map { try Certificate(derEncoded: $0) } } catch {
            throw .certificateRefused("a certificate can't be decoded")
        }
        journal.note(.certificates(certificates.map(CertificateSummary.init)))
        let verifier = ChainVerifier(roots: options.roots, serverName: options.serverName)
        let path: [CertificateSummary]
        switch await verifier.verify(certificates) {
        case .verified(let verified): path = verified.map(CertificateSummary.init)
        case .failed(let reasons):
            throw .certificateRefused("the certificate does not verify: \(reasons.joined(separator: "; "))")
        case .untrusted(let issuer):
            throw .certificateRefused("no path leads from \"\(issuer)\" to a trusted root")
        }
        guard let leaf: Certificate = certificates.first, let der = try? leaf.publicKey.serializeAsPEM().derBytes else {
            throw .certificateRefused("the certificate's key can't be read")
        }
        journal.note(.chainVerified(path: path))
        let key = try OriginPublicKey(subjectPublicKeyInfo: der)
        if let directory = options.keyDirectory {
            switch await directory.ask(options.serverName, subjectPublicKeyInfo: der) {
            case .agrees: journal.note(.directoryAgrees)
            case .disagrees:
                throw .certificateRefused(
                    "the key directory has another key for \(options.serverName) than the certificate")
            case .unavailable(let why):
                if directory.isRequired { throw .certificateRefused(why) }
                journal.note(.directoryUnavailable(why))
            }
        }
        return VerifiedOrigin(key: key, path: path)
    }
}

/// Gives events their times, one after the other.
final class NativeJournal: Sendable {
    private let start = NIODeadline.now()
    private let report: @Sendable (TimedNativeEvent) -> Void

    init(report: @escaping @Sendable (TimedNativeEvent) -> Void) {
        self.report = report
    }

    func note(_ event: NativeEvent) {
        self.report(TimedNativeEvent(event: event, time: .now() - self.start))
    }
}
