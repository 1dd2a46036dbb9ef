import NIOCore

/// One deadline that moves often. Moving it further away costs nothing: the task that is scheduled already looks when its
/// time comes, and is scheduled anew for what is left. Only a nearer deadline than that schedules another task at once.
///
/// So an idle connection costs one task for each of its timeouts, however many connections there are.
///
/// It holds its owner until ``cancel()`` or ``rest()``, one of which is due at the owner's end.
final class ProxyTimer {
    private let eventLoop: any EventLoop
    private var owner: (any TimerOwner)?
    private var deadline = NIODeadline.distantFuture
    private var task: Scheduled<Void>?
    /// When the timer looks next.
    private(set) var wakeUp = NIODeadline.distantFuture

    init(eventLoop: any EventLoop, owner: (any TimerOwner)? = nil) {
        self.eventLoop = eventLoop
        self.owner = owner
    }

    /// Begins anew with another owner. A task that is scheduled from before serves it, too.
    func start(_ owner: any TimerOwner) {
        self.owner = owner
        self.deadline = .distantFuture
    }

    /// No owner any more. The task that is scheduled stays, for the next ``start(_:)``: to take it away costs more than to let it
    /// come to nothing.
    func rest() {
        self.owner = nil
        self.deadline = .distantFuture
    }

    /// Sets the deadline. When it comes, the owner is told, once for each deadline set.
    func move(to deadline: NIODeadline) {
        self.deadline = deadline
        if deadline < self.wakeUp, self.owner != nil { self.schedule() }
    }

    func cancel() {
        self.owner = nil
        self.wakeUp = .distantFuture
        self.task?.cancel()
        self.task = nil
    }

    /// A task that is replaced is left to come to nothing: NIO looks through all tasks to cancel one.
    private func schedule() {
        let wakeUp = self.deadline
        self.wakeUp = wakeUp
        self.task = self.eventLoop.assumeIsolated().scheduleTask(deadline: wakeUp) {
            guard self.wakeUp == wakeUp else { return }
            self.wakeUp = .distantFuture
            guard let owner = self.owner else { return }
            if self.deadline <= wakeUp {
                self.deadline = .distantFuture
                owner.timedOut()
            } else if self.deadline < .distantFuture {
                self.schedule()
            }
        }
    }
}

/// The owner of a ``ProxyTimer``. All calls come on its event loop.
protocol TimerOwner: AnyObject {
    /// The deadline has come.
    func timedOut()
}
