import Admission
import Channels
import Logging
import NIOCore
import NativeChannel
import NativeHandshake
import PeerLink
import Telemetry

/// From the end of the handshake: the connection to the application, and what is passed to it.
extension NativeIntake {
    func established(_ output: ByteBuffer?, _ session: NativeSession) {
        guard let context = self.context, let served = self.served else { return }
        self.phase = .connecting
        self.session = session
        self.timer?.cancel()
        if let output { self.send(output) }
        // The client may have been gone when that was sent.
        guard case .connecting = self.phase else { return }
        let dial: EventLoopFuture<any Channel> = ApplicationDialer.dial(
            served.application, timeout: self.limits.connectTimeout, on: context.eventLoop)
        self.dial = dial
        dial.assumeIsolated().whenComplete { result in
            self.dial = nil
            guard case .connecting = self.phase, let session = self.session else {
                if case .success(let channel) = result { channel.reset() }
                return
            }
            self.session = nil
            guard self.legacy == nil || self.mayStillBeServed else {
                if case .success(let channel) = result { channel.reset() }
                return self.cutOff("the edge has no grant for native connections any more")
            }
            switch result {
            case .success(let channel):
                self.census.hold(application: channel)
                if let legacy = self.legacy {
                    self.deliver(legacy, served.application, to: channel)
                } else {
                    self.stream(session, served.application, to: channel)
                }
            case .failure(let error): self.applicationFailed(session, error)
            }
            self.core.audit.flush()
        }
    }

    /// After the handshake: what nothing has told this end of, since the client is gone.
    private var mayStillBeServed: Bool {
        guard let served = self.served, self.isTrusted, self.core.wallClock() / 1000 < self.linked.notAfter else {
            return false
        }
        return self.core.policy.stillServes(served, to: self.edge)
    }

    func applicationFailed(_ session: NativeSession, _ error: any Error) {
        var session: NativeSession = session
        self.core.reports.write(
            .warning, "the application behind a site cannot be reached", by: self.logger,
            ["site": "\(self.served?.site.name ?? "")", "error": "\(error)"])
        self.line?.detail = "application unavailable"
        self.conclude(.unavailable)
        self.phase = .closing
        self.close(after: session.fail(.unavailable) ?? ByteBuffer())
    }

    func stream(_ session: NativeSession, _ application: ApplicationConfiguration, to channel: any Channel) {
        guard let context = self.context else { return channel.reset() }
        // The stream's own end says when its data is complete, so a close cannot be taken for one.
        var client = PumpTraits()
        client.isReset = false
        client.mayLeave = true
        var server = PumpTraits()
        server.mayLeave = true
        // Silence is the stream's to see.
        let pump = Pump(
            client: client, origin: server, idle: nil, lifetime: nil, drop: self.dropTime, on: context.eventLoop,
            owner: PumpWitness())
        do {
            // From here on reads are the pump's to ask for.
            try context.channel.syncOptions?.setOption(.autoRead, value: false)
            try context.pipeline.syncOperations.addHandler(NativeStreamHandler(session: session, role: .origin))
            try pump.take(client: context.channel)
            try pump.take(origin: channel)
        } catch {
            channel.reset()
            return self.close()
        }
        self.conclude(.ok)
        self.phase = .streaming
        self.introduce(application, to: channel)
        pump.start()
        var rest: ByteBuffer = self.reader.takeRemaining()
        rest.writeBuffer(&self.input)
        self.input = ByteBuffer()
        if rest.readableBytes > 0 {
            context.fireChannelRead(self.wrapInboundOut(rest))
            context.fireChannelReadComplete()
        }
        if let stream = context.channel as? StreamChannel, stream.peerIsGone { self.watchIdentity(context) }
        if self.hasInputEnded { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        self.resumeReading()
    }

    func introduce(_ application: ApplicationConfiguration, to channel: any Channel) {
        guard application.proxyProtocol, let header = self.header.encoded(.v2) else { return }
        channel.writeAndFlush(header, promise: nil)
    }

    /// The client says nothing more while the application is dialled. If that was everything, an answer is still wanted.
    func inputEndedEarly() {
        // What closed the stream comes at once, and is a leave.
        if let stream = self.context?.channel as? StreamChannel, stream.peerIsGone { return }
        guard self.completeStream() != nil else { return self.close() }
        self.hasInputEnded = true
    }

    /// The client is gone while the application was dialled: if it had said everything by then, that is delivered.
    func clientLeft() {
        guard case .connecting = self.phase, self.legacy == nil else { return }
        if let data = self.completeStream() {
            self.legacy = data
            // Of the stream nothing is left that could be told.
            if let dial = self.dial { self.census.hold(self, dialling: dial) }
            self.context?.close(promise: nil)
        } else {
            self.close()
        }
    }

    /// What the client sent, if all of it, up to its end, has arrived. Little is read while the application is dialled.
    func completeStream() -> ByteBuffer? {
        guard var session = self.session else { return nil }
        var reader: NativeFrameReader = self.reader
        reader.receive(self.input)
        var data = ByteBuffer()
        do throws(NativeError) {
            while let frame = try reader.next() {
                switch try session.receive(frame) {
                case .data(let part): data.writeImmutableBuffer(part)
                case .end: return data
                }
            }
            return nil
        } catch {
            return nil
        }
    }

    func deliver(_ data: ByteBuffer, _ application: ApplicationConfiguration, to channel: any Channel) {
        self.line?.detail = "the client left before the application was reached"
        self.conclude(.ok)
        self.phase = .closing
        self.introduce(application, to: channel)
        do { try Pump.deliver(data, to: channel, within: self.dropTime) } catch { channel.reset() }
    }

    private var dropTime: DropTime { DropTime(patience: self.limits.idleTimeout, linger: .seconds(5)) }
}

/// Nothing depends on how a stream ends: the audit line was written at its beginning.
private final class PumpWitness: PumpOwner {
    func clientLeft() {}
    func moved(at now: NIODeadline) {}
    func ended(_ end: PumpEnd, fromClient: Int, fromOrigin: Int) {}
}
