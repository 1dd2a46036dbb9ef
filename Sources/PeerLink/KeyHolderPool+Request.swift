import KeyProtocol
import NIOCore

extension KeyHolderPool {
    /// One request on its way, possibly through several key holders.
    final class Request {
        /// A place where it is under way.
        struct Attempt {
            let index: Int
            let handler: LinkHandler
            /// Its number on the link.
            let id: UInt32
            /// Monotonic nanoseconds.
            let sentAt: Int64
            let isHedge: Bool
        }

        let message: KeyMessage
        let completion: Completion
        let late: LinkHandler.LateWaiter?
        let deadline: NIODeadline
        /// Key holders that are not asked: they do not grant what the request is for.
        let excluded: Set<Int>
        /// Those that are asked before others; nil: all.
        let preferred: Set<Int>?
        /// Whether two key holders may do it at once.
        let isSignature: Bool
        var tried: Set<Int> = []
        var lastFailure: LinkFailure?
        /// None while it waits for a key holder, two if it is hedged.
        var attempts: [Attempt] = []
        var wasHedged = false
        var isDone = false

        init(
            message: KeyMessage, excluding excluded: Set<Int>, preferring preferred: Set<Int>?, isSignature: Bool,
            deadline: NIODeadline, late: LinkHandler.LateWaiter?, completion: @escaping Completion
        ) {
            self.message = message
            self.excluded = excluded
            self.preferred = preferred
            self.isSignature = isSignature
            self.completion = completion
            self.late = late
            self.deadline = deadline
        }

        /// Whether an address is not to be asked, or not again.
        func isOut(_ index: Int) -> Bool {
            self.tried.contains(index) || self.excluded.contains(index)
                || self.attempts.contains { $0.index == index }
        }
    }
}
