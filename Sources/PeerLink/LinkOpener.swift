import Admission
import NIOCore
import NIOPosix

/// Makes connections to one end of a key holder, one at a time: connects to its address, or takes one that the key holder has opened.
///
/// Lives on its event loop. The connections have `autoRead` off.
final class LinkOpener {
    private let end: KeyHolderEnd
    private let connectTimeout: TimeAmount
    private let intake: LinkIntake?
    private let loop: any EventLoop
    /// Among those of the intake.
    private var place: OfferBoard.Place?
    /// Where the connection comes from that was taken.
    private var source: ClientNetwork?
    private var completion: ((Result<any Channel, any Error>) -> Void)?
    private var isTaking = false

    /// - Parameter intake: where the key holder connects, if it is to.
    init(end: KeyHolderEnd, connectTimeout: TimeAmount, intake: LinkIntake?, loop: any EventLoop) {
        self.end = end
        self.connectTimeout = connectTimeout
        self.intake = intake
        self.loop = loop
    }

    /// The completion is called once, unless ``cancel()`` comes first. What the key holder opens may take as long as it likes.
    func open(_ completion: @escaping (Result<any Channel, any Error>) -> Void) {
        self.completion = completion
        switch self.end {
        case .address(let address): self.connect(to: address)
        case .dialling(let identity): self.awaitConnection(of: identity)
        }
    }

    /// Nothing is wanted any more: a connection that comes about nevertheless is closed.
    func cancel() {
        self.completion = nil
        if let place = self.place { self.intake?.withdraw(place) }
        self.place = nil
    }

    /// Whether the last connection that was taken is the key holder's that it said.
    func found(_ isRight: Bool) {
        guard let place = self.place, let source = self.source else { return }
        self.intake?.found(isRight, from: source, for: place)
    }

    private func finish(_ result: Result<any Channel, any Error>) {
        guard let completion = self.completion else {
            if case .success(let channel) = result { channel.close(promise: nil) }
            return
        }
        self.completion = nil
        completion(result)
    }

    private func connect(to address: PeerAddress) {
        // Handlers come when the connection is there: for a name with several addresses several are tried, and those
        // that fail or lose the race are none of ours.
        self.bootstrap().connectTimeout(self.connectTimeout)
            .connect(host: address.host, port: address.port)
            .assumeIsolated().whenComplete { self.finish($0) }
    }

    private func bootstrap() -> ClientBootstrap {
        ClientBootstrap(group: self.loop)
            .channelOption(.autoRead, value: false)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
    }

    /// Takes the next connection that the key holder opens, or has opened.
    private func awaitConnection(of identity: PeerIdentity) {
        guard let intake = self.intake else { return }
        self.isTaking = true
        let place: OfferBoard.Place
        if let known = self.place {
            place = known
        } else {
            let bound = NIOLoopBound(WeakOpener(self), eventLoop: self.loop)
            place = intake.register(for: identity.name) { [loop = self.loop] taken in
                loop.execute { WeakOpener.take(taken, by: bound.value.opener) }
            }
            self.place = place
        }
        intake.lacks(place)
    }

    /// - Parameter taken: nil: the connection ended before it was ours.
    fileprivate func take(_ taken: LinkIntake.Taken?) {
        guard self.isTaking, self.completion != nil else { return WeakOpener.take(taken, by: nil) }
        guard let taken else {
            if let place = self.place { self.intake?.lacks(place) }
            return
        }
        self.isTaking = false
        self.source = taken.network
        self.bootstrap().withConnectedSocket(taken.descriptor)
            .assumeIsolated().whenComplete { self.finish($0) }
    }
}

/// The opener, as long as there is one: its place may outlive it by a moment.
private struct WeakOpener {
    weak var opener: LinkOpener?

    init(_ opener: LinkOpener) { self.opener = opener }

    /// A connection that nothing takes is closed.
    static func take(_ taken: LinkIntake.Taken?, by opener: LinkOpener?) {
        if let opener { return opener.take(taken) }
        if let taken { LinkIntake.close(taken) }
    }
}
