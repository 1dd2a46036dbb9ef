import NIOCore

/// One deadline that moves often. Moving it costs nothing: a task looks once per tick, and a tick is never longer than the
/// shortest time by which the deadline is set ahead, so it never looks late.
final class ProxyTimer {
    private let eventLoop: any EventLoop
    private let tick: TimeAmount
    private var action: (() -> Void)?
    private var deadline = NIODeadline.distantFuture
    private var task: Scheduled<Void>?

    init(eventLoop: any EventLoop, tick: TimeAmount, action: @escaping () -> Void) {
        self.eventLoop = eventLoop
        self.tick = tick
        self.action = action
    }

    func start(deadline: NIODeadline) {
        self.deadline = deadline
        self.schedule(now: .now())
    }

    func move(to deadline: NIODeadline) {
        self.deadline = deadline
    }

    func cancel() {
        self.action = nil
        self.task?.cancel()
        self.task = nil
    }

    private func schedule(now: NIODeadline) {
        self.task = self.eventLoop.assumeIsolated().scheduleTask(deadline: min(self.deadline, now + self.tick)) {
            let now = NIODeadline.now()
            guard let action = self.action else { return }
            if self.deadline <= now {
                self.deadline = .distantFuture
                action()
            }
            if self.action != nil { self.schedule(now: now) }
        }
    }
}
