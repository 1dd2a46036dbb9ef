import NIOConcurrencyHelpers
import NIOPosix

/// A bounded queue with a thread of its own behind it: event loops put in, and never wait for what takes out.
///
/// What has no room is left out and counted; the count comes with the next batch.
final class WriterThread<Item: Sendable>: Sendable {
    /// Gives room back, in the measure of ``add(_:size:)``.
    typealias Done = (_ size: Int) -> Void

    private struct State {
        var items: [Item] = []
        var size = 0
        var leftOut = 0
        var isWorking = false
    }

    private let capacity: Int
    private let rest: Int
    private let work: @Sendable (_ items: [Item], _ leftOut: Int, _ done: Done) -> Void
    private let state = NIOLockedValueBox(State())
    private let thread = NIOThreadPool(numberOfThreads: 1)

    /// - Parameters:
    ///   - capacity: the sizes of items that wait, at most.
    ///   - rest: milliseconds between two batches. Waking the thread costs the caller a system call; with a rest that happens so
    ///     often at most.
    ///   - work: called on the thread. Only what is given back to `done` makes room: a slow reader gets the next ones, not all at once.
    init(
        capacity: Int, rest: Int = 0,
        work: @escaping @Sendable (_ items: [Item], _ leftOut: Int, _ done: Done) -> Void
    ) {
        self.capacity = capacity
        self.rest = rest
        self.work = work
        self.thread.start()
    }

    /// Takes an item, and returns at once.
    ///
    /// - Parameter size: 0 for what always has room.
    func add(_ item: Item, size: Int) {
        let starts = self.state.withLockedValue { state in
            guard size == 0 || state.size + size <= self.capacity else {
                state.leftOut += 1
                return false
            }
            state.size += size
            state.items.append(item)
            defer { state.isWorking = true }
            return !state.isWorking
        }
        if starts { self.thread.submit { _ in self.drain() } }
    }

    private func drain() {
        while true {
            let (items, leftOut) = self.state.withLockedValue { state -> ([Item], Int) in
                let batch = (state.items, state.leftOut)
                state.items = []
                state.leftOut = 0
                if batch.0.isEmpty, batch.1 == 0 { state.isWorking = false }
                return batch
            }
            guard !items.isEmpty || leftOut > 0 else { return }
            self.work(items, leftOut) { size in self.state.withLockedValue { $0.size -= size } }
            for _ in 0..<self.rest { LogOutput.sleepMillisecond() }
        }
    }

    /// Waits until everything is written, for so many milliseconds at most. Blocks: for the end of the process, and tests.
    func flush(milliseconds: Int) {
        for _ in 0..<max(1, milliseconds) {
            if !self.state.withLockedValue({ $0.isWorking }) { return }
            LogOutput.sleepMillisecond()
        }
    }

    /// Ends the thread when everything is written. What is added later is lost.
    func shutdown() {
        self.flush(milliseconds: 10_000)
        self.thread.shutdownGracefully { _ in }
    }
}
