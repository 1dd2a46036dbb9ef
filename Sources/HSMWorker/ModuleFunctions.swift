public import CPKCS11
public import HSMWire

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The functions of a PKCS #11 module that a worker calls.
public struct ModuleFunctions {
    /// The module's own, or a copy with other functions in some places.
    public var list: CK_FUNCTION_LIST

    public init(_ list: CK_FUNCTION_LIST) {
        self.list = list
    }

    /// Loads the shared library at `path`. It stays loaded.
    public static func load(_ path: String) throws(TokenFailure) -> ModuleFunctions {
        guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) else { throw Self.loaderFailure() }
        guard let symbol = dlsym(handle, "C_GetFunctionList") else { throw Self.loaderFailure() }
        typealias GetFunctionList =
            @convention(c) (UnsafeMutablePointer<UnsafeMutablePointer<CK_FUNCTION_LIST>?>?) -> CK_RV
        let getFunctionList = unsafeBitCast(symbol, to: GetFunctionList.self)
        var list: UnsafeMutablePointer<CK_FUNCTION_LIST>?
        let code = getFunctionList(&list)
        guard code == CKR_OK, let list else {
            throw TokenFailure(.function, code: UInt64(code), detail: "C_GetFunctionList")
        }
        return ModuleFunctions(list.pointee)
    }

    private static func loaderFailure() -> TokenFailure {
        TokenFailure(.module, detail: dlerror().map { String(cString: $0) } ?? "it cannot be loaded")
    }
}
