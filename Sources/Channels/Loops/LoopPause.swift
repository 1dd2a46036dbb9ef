public import NIOCore

/// Between two rounds of work on an event loop: a look at its sockets.
///
/// NIO works off its tasks until none is due before it looks at its sockets, so a task that is only submitted again keeps
/// everything else waiting. The next round is scheduled for a moment later instead.
public enum LoopPause {
    /// Enough that a task which is scheduled so is not due yet when NIO looks for tasks next.
    public static let time = TimeAmount.microseconds(50)

    /// Does this after a look at the sockets. Call it on the loop.
    ///
    /// - Parameter passes: how many times the tasks that are there now are done first: flushing is one, and may lead to another.
    public static func then(on eventLoop: any EventLoop, settling passes: Int = 0, _ work: @escaping () -> Void) {
        let loop = eventLoop.assumeIsolated()
        if passes == 0 {
            loop.scheduleTask(in: self.time) { work() }
        } else {
            loop.execute { self.then(on: eventLoop, settling: passes - 1, work) }
        }
    }
}
