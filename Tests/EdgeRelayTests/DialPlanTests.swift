import NIOCore
import Testing

@testable import EdgeRelay

@Suite("Several places in turn, in the time there is") struct DialPlanTests {
    private static func time(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    private static func until(_ step: DialPlan<String>.Step, _ place: String) -> NIODeadline? {
        if case .connect(place, let until) = step { until } else { nil }
    }

    @Test("Each has its share of what is left, and the last one all of it")
    func shares() {
        var plan = DialPlan(["a", "b", "c"], deadline: Self.time(9))
        let first = plan.next(now: Self.time(0))
        #expect(Self.until(first, "a") == Self.time(3))
        plan.failed("a", "refused")
        // It took no time.
        let second = plan.next(now: Self.time(1))
        #expect(Self.until(second, "b") == Self.time(5))
        let third = plan.timedOut("b", now: Self.time(5))
        #expect(Self.until(third, "c") == Self.time(9))
        guard case .timeout("b: no connection in time") = plan.timedOut("c", now: Self.time(9)) else {
            Issue.record("the last place's time is over")
            return
        }
    }

    @Test("The last one that refuses says why, and none is a reason too")
    func refused() {
        var plan = DialPlan(["a"], deadline: Self.time(9))
        _ = plan.next(now: Self.time(0))
        plan.failed("a", "no")
        guard case .refused("a: no") = plan.next(now: Self.time(1)) else {
            Issue.record("no place is left")
            return
        }
        var none = DialPlan([String](), deadline: Self.time(9))
        guard case .refused("no address is configured") = none.next(now: Self.time(0)) else {
            Issue.record("there is no place")
            return
        }
    }

    @Test("Nothing is tried when the time is over")
    func late() {
        var plan = DialPlan(["a"], deadline: Self.time(9))
        guard case .timeout(nil) = plan.next(now: Self.time(9)) else {
            Issue.record("the time is over")
            return
        }
    }
}
