import FleetBus
import NIOCore
import NIOPosix
import NIOSSL

/// Carries out what ``BusMachine`` decides. Bound to its event loop.
final class BusSession {
    /// Commands that were sent together.
    final class Batch {
        var replies: [RESPValue?]
        var missing: Int
        var completion: ((Result<[RESPValue], BusFailure>) -> Void)?

        init(_ count: Int, _ completion: @escaping (Result<[RESPValue], BusFailure>) -> Void) {
            self.replies = Array(repeating: nil, count: count)
            self.missing = count
            self.completion = completion
        }
    }

    private let eventLoop: any EventLoop
    private let tls: BusTLS
    private let limits: RESPLimits
    private let told: @Sendable (BusEvent) -> Void
    private var machine: BusMachine
    private var channel: (any Channel)?
    /// Of the connection, or the attempt, that counts. What others say is not of interest.
    private var number = 0
    private var waiting: [UInt64: (batch: Batch, index: Int)] = [:]
    private var timer: Scheduled<Void>?
    private var timerAt: Int64?
    private let configuration: BusConfiguration

    init(
        _ configuration: BusConfiguration, tls: BusTLS, limits: RESPLimits, eventLoop: any EventLoop,
        told: @escaping @Sendable (BusEvent) -> Void
    ) {
        self.configuration = configuration
        self.machine = BusMachine(configuration)
        self.tls = tls
        self.limits = limits
        self.eventLoop = eventLoop
        self.told = told
    }

    private var now: Int64 { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }
    private static func random() -> Double { Double.random(in: 0...1) }

    func start() { self.carryOut(self.machine.start(at: self.now)) }

    func stop() {
        self.carryOut(self.machine.stop())
        self.timer?.cancel()
        self.timer = nil
    }

    func send(
        _ commands: [RESPCommand], timeout: Int64, completion: @escaping (Result<[RESPValue], BusFailure>) -> Void
    ) {
        do throws(BusFailure) {
            let (tickets, actions) = try self.machine.submit(commands, timeout: timeout, at: self.now)
            let batch = Batch(commands.count, completion)
            for (index, ticket) in tickets.enumerated() { self.waiting[ticket] = (batch, index) }
            self.carryOut(actions)
        } catch {
            completion(.failure(error))
        }
    }

    private func carryOut(_ actions: [BusMachine.Action]) {
        for action in actions {
            switch action {
            case .dial(let address): self.dial(address)
            case .send(let commands): self.write(commands)
            case .close: self.close()
            case .ready(let server): self.told(.ready(server))
            case .deliver(let ticket, let value):
                guard let (batch, index) = self.waiting.removeValue(forKey: ticket) else { continue }
                batch.replies[index] = value
                batch.missing -= 1
                guard batch.missing == 0, let completion = batch.completion else { continue }
                batch.completion = nil
                completion(.success(batch.replies.map { $0 ?? .null }))
            case .fail(let ticket, let failure):
                guard let (batch, _) = self.waiting.removeValue(forKey: ticket), let completion = batch.completion
                else { continue }
                batch.completion = nil
                completion(.failure(failure))
            case .lost(let failure): self.told(.lost(failure))
            }
        }
        self.schedule()
    }

    private func schedule() {
        let wakeAt = self.machine.wakeAt
        guard wakeAt != self.timerAt || self.timer == nil else { return }
        self.timer?.cancel()
        self.timer = nil
        self.timerAt = wakeAt
        guard let wakeAt else { return }
        self.timer = self.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(max(1, wakeAt - self.now))) {
            self.timer = nil
            self.timerAt = nil
            self.carryOut(self.machine.timePassed(at: self.now, random: Self.random()))
        }
    }

    private func close() {
        self.number += 1
        let channel = self.channel
        self.channel = nil
        channel?.close(promise: nil)
    }

    private func write(_ commands: [RESPCommand]) {
        guard let channel else { return }
        var buffer = channel.allocator.buffer(capacity: 256)
        for command in commands { command.encode(into: &buffer) }
        // A write that fails ends the connection, which is told.
        channel.writeAndFlush(buffer, promise: nil)
    }

    private func dial(_ address: BusAddress) {
        self.number += 1
        let number = self.number
        self.channel = nil
        let session = NIOLoopBound(self, eventLoop: self.eventLoop)
        let tls = self.tls
        let limits = self.limits
        let connecting = ClientBootstrap(group: self.eventLoop)
            .connectTimeout(.milliseconds(self.configuration.connectTimeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let session = session.value
                    guard session.number == number else { throw BusFailure.stopped }
                    session.channel = channel
                    if address.usesTLS {
                        try channel.pipeline.syncOperations.addHandler(try tls.handler(for: address))
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        BusHandler(usesTLS: address.usesTLS, limits: limits) { session.heard($0, number) })
                }
            }
            .connect(host: address.host, port: address.port)
        connecting.assumeIsolated().whenFailure { error in
            guard self.number == number else { return }
            self.carryOut(self.machine.connectFailed(BusText.reason(error), at: self.now, random: Self.random()))
        }
        // One that was given up meanwhile.
        connecting.assumeIsolated().whenSuccess { channel in
            if self.number != number { channel.close(promise: nil) }
        }
    }

    private func heard(_ event: BusHandler.Event, _ number: Int) {
        guard self.number == number else { return }
        switch event {
        case .connected: self.carryOut(self.machine.connected(at: self.now))
        case .reply(let value): self.carryOut(self.machine.received(value, at: self.now, random: Self.random()))
        case .broke(let reason): self.carryOut(self.machine.broke(reason, at: self.now, random: Self.random()))
        case .closed: self.carryOut(self.machine.closed(at: self.now, random: Self.random()))
        }
    }
}
