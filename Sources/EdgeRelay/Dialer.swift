import Admission
import NIOCore
import NIOPosix
import PeerLink
import Telemetry

/// Connects to the first of several places that answers, before a deadline: each is tried in turn, with its share of the time that is left.
/// Lives on one event loop.
final class Dialer {
    enum Target {
        case address(SocketAddress)
        case peer(PeerAddress)
    }

    enum Failure: Error, Equatable {
        /// The deadline passed; what the place before had to say.
        case timeout(String?)
        /// No place took the connection; what the last one had to say.
        case refused(String)
    }

    /// What follows once a connection is there, such as a handshake: to end before the deadline, with a failure or nil. A channel for which it
    /// fails is closed.
    typealias Preparation = (any Channel, NIODeadline, _ completion: @escaping (_ failure: String?) -> Void) -> Void

    private let eventLoop: any EventLoop
    private let deadline: NIODeadline
    private let prepare: Preparation?
    private var completion: ((Result<any Channel, Failure>) -> Void)?
    /// In preparation.
    private var underWay: (any Channel)?

    init(on eventLoop: any EventLoop, deadline: NIODeadline, prepare: Preparation? = nil) {
        self.eventLoop = eventLoop
        self.deadline = deadline
        self.prepare = prepare
    }

    /// Starts. The completion is called once, on the event loop, unless ``cancel()`` comes first.
    func dial(_ targets: [Target], _ completion: @escaping (Result<any Channel, Failure>) -> Void) {
        self.completion = completion
        self.attempt(DialPlan(targets, deadline: self.deadline))
    }

    /// Forgets about it: what is under way is closed, and so is a connection that comes about nevertheless.
    func cancel() {
        let channel = self.underWay
        self.underWay = nil
        self.completion = nil
        channel?.close(promise: nil)
    }

    private func finish(_ result: Result<any Channel, Failure>) {
        let completion = self.completion
        self.underWay = nil
        self.completion = nil
        completion?(result)
    }

    private func attempt(_ plan: DialPlan<Target>) {
        var plan = plan
        self.follow(plan.next(now: .now()), plan)
    }

    private func follow(_ step: DialPlan<Target>.Step, _ plan: DialPlan<Target>) {
        switch step {
        case .timeout(let before): self.finish(.failure(.timeout(before)))
        case .refused(let reason): self.finish(.failure(.refused(reason)))
        case .connect(let target, let until): self.attempt(target, until, plan)
        }
    }

    private func attempt(_ target: Target, _ until: NIODeadline, _ plan: DialPlan<Target>) {
        self.connect(to: target, within: until - .now()).assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel):
                guard self.completion != nil else { return channel.close(promise: nil) }
                guard let prepare = self.prepare else { return self.finish(.success(channel)) }
                self.underWay = channel
                prepare(channel, until) { failure in
                    self.underWay = nil
                    if let failure {
                        channel.close(promise: nil)
                        return self.failed(target, failure, plan)
                    }
                    guard self.completion != nil else { return channel.close(promise: nil) }
                    self.finish(.success(channel))
                }
            case .failure(let error):
                guard case .connectTimeout? = error as? ChannelError else {
                    return self.failed(target, "\(error)", plan)
                }
                guard self.completion != nil else { return }
                var plan = plan
                self.follow(plan.timedOut(target, now: .now()), plan)
            }
        }
    }

    private func failed(_ target: Target, _ reason: String, _ plan: DialPlan<Target>) {
        guard self.completion != nil else { return }
        var plan = plan
        plan.failed(target, reason)
        self.attempt(plan)
    }

    private func connect(to target: Target, within time: TimeAmount) -> EventLoopFuture<any Channel> {
        // A protocol above the socket has its own word for the end of data.
        let isPlain = self.prepare == nil
        let bootstrap = ClientBootstrap(group: self.eventLoop)
            .connectTimeout(time)
            .channelInitializer { channel in
                // Not as the bootstrap's options, each of which costs it a future.
                channel.eventLoop.makeCompletedFuture {
                    try channel.syncOptions?.setOption(.autoRead, value: false)
                    if isPlain { try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true) }
                }
            }
        switch target {
        case .address(let address): return bootstrap.connect(to: address)
        case .peer(let address): return bootstrap.connect(host: address.host, port: address.port)
        }
    }
}

extension Dialer.Target: CustomStringConvertible {
    var description: String {
        switch self {
        case .address(let address): "\(PeerText(address))"
        case .peer(let address): "\(address)"
        }
    }
}
