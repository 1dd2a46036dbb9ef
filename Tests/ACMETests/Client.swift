import Foundation
import TestDirectory
import Testing

@testable import ACME

/// Carries out what an attempt wants, with a clock of its own and no network.
struct Client {
    static let names = ["www.test"]

    let directory: TestDirectory
    var now = Int64(Date().timeIntervalSince1970 * 1000)
    var account: String?
    var order: String?
    var presented: [ChallengeTask] = []
    var withdrawn = 0
    var waits: [Int64] = []
    var requests = 0
    /// The request of this number gets no answer, and the attempt ends there, as in a crash.
    var crashAt: Int?

    init(_ directory: TestDirectory) { self.directory = directory }

    static func request(
        _ directory: TestDirectory, names: [String] = Self.names, challenge: ChallengeKind = .tlsALPN01,
        externalAccount: ExternalAccount? = nil, accountKey: AccountKey = AccountKey(), siteKey: SiteKey = SiteKey()
    ) -> Issuance.Request {
        Issuance.Request(
            directory: "\(directory.base)/directory", email: "owner@www.test", externalAccount: externalAccount,
            names: names,
            challenge: challenge, accountKey: accountKey, siteKey: siteKey)
    }

    struct Crash: Error {}

    mutating func run(_ request: Issuance.Request) throws -> IssuedChain {
        var request = request
        request.account = self.account
        request.order = self.order
        var issuance = Issuance(request)
        var queue = issuance.begin(now: self.now)
        while !queue.isEmpty {
            let action = queue.removeFirst()
            switch action {
            case .send(let request):
                self.requests += 1
                if self.requests == self.crashAt { throw Crash() }
                let reply = self.directory.handle(method: request.method.rawValue, url: request.url, body: request.body)
                queue += issuance.received(
                    ACMEResponse(status: reply.status, fields: reply.fields, body: reply.body), now: self.now)
            case .present(let task):
                self.presented.append(task)
                queue += issuance.presented(now: self.now)
            case .withdraw: self.withdrawn += 1
            case .wait(let until):
                #expect(until > self.now)
                self.waits.append(until - self.now)
                self.now = until
                queue += issuance.woke(now: self.now)
            case .saveAccount(let account): self.account = account
            case .saveOrder(let order): self.order = order
            case .finished(let chain):
                #expect(queue.isEmpty)
                return chain
            case .failed(let failure):
                #expect(queue.isEmpty)
                throw failure
            }
        }
        Issue.record("the attempt neither ended nor waits for anything")
        throw Crash()
    }

    /// How the attempt fails.
    mutating func failure(_ request: Issuance.Request) -> ACMEFailure? {
        do {
            _ = try self.run(request)
            return nil
        } catch {
            return error as? ACMEFailure
        }
    }
}
