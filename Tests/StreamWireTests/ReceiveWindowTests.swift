import Testing

@testable import StreamWire

@Suite struct ReceiveWindowTests {
    @Test func windowsGrowWithReadersThatKeepUpWithinTheBudget() {
        let budget = WindowBudget(1000)
        var window = ReceiveWindow(size: 40)
        var other = ReceiveWindow(size: 40)
        for _ in 0..<10 {
            let isAllowed = (window.received(10), other.received(10))
            #expect(isAllowed == (true, true))
            _ = window.read(10, largest: 1000, budget: budget)
            _ = other.read(10, largest: 1000, budget: budget)
            #expect(window.unread + window.allowed <= window.size)
        }
        #expect(window.size == 80 && other.size == 80)
        #expect(budget.left == 920)
        other.release(budget)
        window.release(budget)
        #expect(budget.left == 1000)
    }

    @Test func aFewReadersLeaveRoomForTheOthers() {
        let budget = WindowBudget(10_000)
        // Each has had much, and rests.
        var busy = (0..<6).map { _ in ReceiveWindow(size: 40) }
        for index in busy.indices {
            for _ in 0..<1000 {
                let count = busy[index].allowed
                _ = busy[index].received(count)
                _ = busy[index].read(count, largest: 100_000, budget: budget)
            }
        }
        #expect(busy[0].size > 640)
        #expect(budget.left >= 280)
        var late = ReceiveWindow(size: 40)
        _ = late.received(40)
        _ = late.read(40, largest: 100_000, budget: budget)
        #expect(late.size == 80)
    }

    @Test func whatIsHeldCountsUntilItIsRead() {
        let budget = WindowBudget(1000)
        var window = ReceiveWindow(size: 40)
        for _ in 0..<10 {
            _ = window.received(10)
            _ = window.read(10, largest: 80, budget: budget)
        }
        #expect(window.size == 80 && budget.left == 960)
        // Its reader falls behind: less is aimed at, and all of it is held.
        let isAllowed = window.received(window.allowed)
        #expect(isAllowed)
        let held = window.unread
        _ = window.read(1, largest: 80, budget: budget)
        #expect(window.size == 40)
        #expect(window.unread == held - 1 && window.reserved == held - 1)
        #expect(budget.left == 1000 - (held - 1 - 40))
        // Read to the end, it is as it was at first.
        _ = window.read(held - 1, largest: 80, budget: budget)
        #expect(window.reserved == 40 && budget.left == 1000)
    }

    /// Whatever readers do, what is held and allowed beyond the first sizes was taken from the budget.
    @Test(arguments: 1...8) func noMoreIsHeldThanWasTaken(seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let budget = WindowBudget(2000)
        var windows = (0..<4).map { _ in ReceiveWindow(size: 64) }
        for _ in 0..<20_000 {
            let index = Int.random(in: 0..<4, using: &numbers)
            if Bool.random(using: &numbers), windows[index].allowed > 0 {
                let isAllowed = windows[index].received(Int.random(in: 1...windows[index].allowed, using: &numbers))
                #expect(isAllowed)
            } else if windows[index].unread > 0 {
                // In big parts mostly, so that windows grow.
                let unread = windows[index].unread
                let count =
                    Int.random(in: 0..<4, using: &numbers) > 0 ? unread : Int.random(in: 1...unread, using: &numbers)
                _ = windows[index].read(count, largest: 512, budget: budget)
            }
            let extra = windows.reduce(0) { $0 + $1.reserved - 64 }
            guard windows.allSatisfy({ $0.unread + $0.allowed <= $0.reserved }), extra + budget.left == 2000,
                budget.left >= 0
            else { return #expect(Bool(false), "\(windows) \(budget.left)") }
        }
        for window in windows { window.release(budget) }
        #expect(budget.left == 2000)
    }
}
