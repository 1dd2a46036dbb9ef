import NIOCore

/// The ``LoopWork`` of each event loop of a group.
final class LoopWorks: Sendable {
    private let works: [ObjectIdentifier: NIOLoopBoundBox<LoopWork>]

    init(_ group: any EventLoopGroup) {
        var works: [ObjectIdentifier: NIOLoopBoundBox<LoopWork>] = [:]
        for loop in group.makeIterator() {
            works[ObjectIdentifier(loop)] = NIOLoopBoundBox.makeBoxSendingValue(
                LoopWork(eventLoop: loop), eventLoop: loop)
        }
        self.works = works
    }

    /// On the event loop.
    func work(of eventLoop: any EventLoop) -> LoopWork {
        self.works[ObjectIdentifier(eventLoop)]?.value ?? LoopWork(eventLoop: eventLoop)
    }
}
