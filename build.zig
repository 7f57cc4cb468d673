//! Builds libsqlite3async, for here and for every platform of the package, and its native tests.
//!
//!     zig build               zig-out/lib/libsqlite3async.so (.dylib, .dll)
//!     zig build native-tests  zig-out/native-tests/*_test
//!     zig build hosts -Dhost=DIR
//!                             zig-out/hosts/*: for each DIR with an amalgamation, a program that
//!                             loads the library into that SQLite
//!     zig build platform-test the shared library, and a program that loads it: with -Dtarget=...
//!                             -Dfolder=..., for `./run platforms`
//!     zig build native-bench  zig-out/native-bench/native-bench
//!     zig build preload       zig-out/preload/: what programs are slowed down with; also built by
//!                             native-tests and native-bench
//!     zig build prebuilt      zig-out/prebuilt/TARGET/: the library for each of `platforms`, or
//!                             for one of them with -Dplatform=TARGET
//!
//! `./run build` calls it with the pinned Zig and with -Dsqlite set.

const std = @import("std");
const builtin = @import("builtin");
const Build = std.Build;

const package = @import("build.zig.zon");

comptime {
    const pinned = package.minimum_zig_version;
    if (!std.mem.eql(u8, builtin.zig_version_string, pinned)) {
        @compileError("sqlite3async is built with Zig " ++ pinned ++ " exactly, this is Zig " ++
            builtin.zig_version_string ++ ": type ./run build, which finds or installs it");
    }
}

/// What the package carries a library for: the names of ffi/platform.ts, which is held to them by
/// the gate. The gnu ones ask for no newer glibc than the one of their triple.
const platforms = [_]struct { name: []const u8, triple: []const u8 }{
    .{ .name = "linux_x64_gnu", .triple = "x86_64-linux-gnu.2.17" },
    .{ .name = "linux_arm64_gnu", .triple = "aarch64-linux-gnu.2.17" },
    .{ .name = "linux_x64_musl", .triple = "x86_64-linux-musl" },
    .{ .name = "linux_arm64_musl", .triple = "aarch64-linux-musl" },
    .{ .name = "macos_x64", .triple = "x86_64-macos.11.0" },
    .{ .name = "macos_arm64", .triple = "aarch64-macos.11.0" },
    .{ .name = "windows_x64", .triple = "x86_64-windows-gnu" },
    .{ .name = "windows_arm64", .triple = "aarch64-windows-gnu" },
};

const fast: std.builtin.OptimizeMode = .ReleaseFast;

const warnings = [_][]const u8{
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wpedantic",
    "-Wshadow",
    "-Wundef",
    "-Wvla",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
};
const library_flags = [_][]const u8{ "-std=c11", "-fvisibility=hidden" } ++ warnings;
const test_flags = [_][]const u8{"-std=gnu11"} ++ warnings;
// What only serves the tests, and makes and compares many images of disks.
const helper_flags = test_flags ++ [_][]const u8{"-O2"};
const sqlite_flags = [_][]const u8{
    "-DSQLITE_THREADSAFE=1",
    "-DSQLITE_OMIT_LOAD_EXTENSION=1",
    "-w",
};

/// What the core calls of the system and the native tests put their own calls in the place of, to
/// make them fail (tests/native/libfault.h) or to decide which thread goes on (stepper.h). The
/// same list is in tools/asan.ts.
const interposed = [_][]const u8{
    "malloc",
    "calloc",
    "realloc",
    "free",
    "mmap",
    "munmap",
    "fsync",
    "clock_gettime",
    "nanosleep",
    "pthread_create",
    "pthread_join",
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "pthread_cond_wait",
    "pthread_cond_timedwait",
    "pthread_cond_broadcast",
};

/// Makes the core's atomics calls of functions, which tests/native/step_atomics.c defines.
const stepped_atomics = [_][]const u8{
    "-fsanitize=thread",
    "-mllvm",
    "-tsan-instrument-memory-accesses=0",
    "-mllvm",
    "-tsan-instrument-func-entry-exit=0",
    "-mllvm",
    "-tsan-instrument-memintrinsics=0",
};

pub fn build(b: *Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.option(
        std.builtin.OptimizeMode,
        "optimize",
        "Of the library; default: ReleaseFast",
    ) orelse fast;
    const tsan = b.option(bool, "tsan", "Native tests with the thread sanitizer") orelse false;
    const sqlite = sqliteDir(b);

    installLibrary(b, b.getInstallStep(), .lib, sqlite, target, optimize);

    const folder = b.option([]const u8, "folder", "Where in zig-out/ a target's tests are put");
    const platform_test = b.step("platform-test", "Build the test of the shared library");
    addPlatformTest(b, platform_test, sqlite, target, folder orelse "platform-test");

    const native_tests = b.step("native-tests", "Build the native tests");
    addNativeTests(b, native_tests, sqlite, target, .{
        .tsan = tsan,
        .only = b.option([]const u8, "test", "Build only this native test") orelse "",
        .planted = b.option([]const u8, "planted", "Native tests with this instead of the " ++
            "file of csrc/ of that name; see tools/mutants.ts"),
        .folder = folder,
    });

    const preload = b.step("preload", "Build the libraries that are put before programs");
    addPreload(b, preload, target);
    if (folder == null) native_tests.dependOn(preload); // another platform's run none

    const hosts = b.step("hosts", "Build the tests in other versions of SQLite");
    const host_dirs = b.option([]const []const u8, "host", "Folder with such an amalgamation");
    for (host_dirs orelse &.{}) |host| addHostTest(b, hosts, host, target);

    const native_bench = b.step("native-bench", "Build the native benchmarks");
    addNativeBench(b, native_bench, sqlite, target);
    native_bench.dependOn(preload);

    const prebuilt = b.step("prebuilt", "Build the library for every platform of the package");
    const only = b.option([]const u8, "platform", "Of these, build only this one's") orelse "";
    for (platforms) |platform| {
        if (only.len > 0 and !std.mem.eql(u8, only, platform.name)) continue;
        const query = Build.parseTargetQuery(.{ .arch_os_abi = platform.triple }) catch |err|
            std.process.fatal("{s}: {t}", .{ platform.triple, err });
        const dir: Build.InstallDir = .{ .custom = b.fmt("prebuilt/{s}", .{platform.name}) };
        installLibrary(b, prebuilt, dir, sqlite, b.resolveTargetQuery(query), fast);
    }
}

/// The folder with sqlite3.h, sqlite3ext.h and, for the native tests, sqlite3.c.
fn sqliteDir(b: *Build) Build.LazyPath {
    const description = "Folder with SQLite's headers and amalgamation";
    const dir = b.option([]const u8, "sqlite", description) orelse
        std.process.fatal("SQLite's headers: pass -Dsqlite=DIR, or type ./run build", .{});
    return .{ .cwd_relative = dir };
}

fn installLibrary(
    b: *Build,
    step: *Build.Step,
    dir: Build.InstallDir,
    sqlite: Build.LazyPath,
    target: Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) void {
    const module = b.createModule(.{
        .target = target,
        .optimize = optimize,
        .link_libc = true,
        .pic = true,
        .strip = optimize != .Debug,
    });
    addCore(b, module, sqlite);

    if (target.result.ofmt == .elf) {
        const file = linkElf(b, module, target);
        step.dependOn(&b.addInstallFileWithDir(file, dir, "libsqlite3async.so").step);
        return;
    }
    const library = b.addLibrary(.{
        .name = "sqlite3async",
        .linkage = .dynamic,
        .root_module = module,
    });
    if (target.result.os.tag.isDarwin()) library.install_name = "@rpath/libsqlite3async.dylib";
    step.dependOn(&b.addInstallArtifact(library, .{
        .dest_dir = .{ .override = dir },
        .pdb_dir = .disabled,
        .implib_dir = .disabled,
    }).step);
}

/// Links with `-z nodelete`, which std.Build cannot say: the library starts a thread and registers
/// exit handlers, so its code must stay mapped after a dlclose(). And with `-Bsymbolic`: else a
/// second copy in the process, when Node has loaded the first one for all to see, would be half of
/// each.
fn linkElf(b: *Build, module: *Build.Module, target: Build.ResolvedTarget) Build.LazyPath {
    const object = b.addObject(.{ .name = "sqlite3async", .root_module = module });
    const link = b.addSystemCommand(&.{ b.graph.zig_exe, "build-lib", "-dynamic" });
    link.setName("link libsqlite3async.so");
    link.addArgs(&.{ "-z", "nodelete", "-z", "defs", "-Bsymbolic", "-fsoname=libsqlite3async.so" });
    link.addArgs(&.{ "-lc", "-lpthread" });
    link.addArgs(&.{ "-target", target.query.zigTriple(b.allocator) catch @panic("OOM") });
    link.addArgs(&.{ "-mcpu", target.query.serializeCpuAlloc(b.allocator) catch @panic("OOM") });
    if (module.strip == true) link.addArg("-fstrip");
    link.addArtifactArg(object);
    return link.addPrefixedOutputFileArg("-femit-bin=", "libsqlite3async.so");
}

const NativeTests = struct {
    /// Under the thread sanitizer.
    tsan: bool,
    /// The name of the one that is wanted; "" for all.
    only: []const u8,
    /// A changed copy of a file of the core.
    planted: ?[]const u8,
    /// Where in zig-out/ they are put, if not by what they are.
    folder: ?[]const u8,
};

/// One program for every tests/native/*_test.c: that file, the C core linked statically as a C
/// program would link it, and SQLite.
fn addNativeTests(
    b: *Build,
    step: *Build.Step,
    sqlite: Build.LazyPath,
    target: Build.ResolvedTarget,
    tests: NativeTests,
) void {
    const options: Build.Module.CreateOptions = .{
        .target = target,
        .optimize = .Debug,
        .link_libc = true,
        .sanitize_c = .full,
        .sanitize_thread = tests.tsan,
    };
    const core = b.createModule(options);
    core.addCMacro("SQLITE_CORE", "1");
    for (interposed) |name| core.addCMacro(name, b.fmt("test_{s}", .{name}));
    core.addCMacro("stat(path, out)", "test_stat(path, out)"); // the function, not the structure
    const core_flags = if (tests.tsan) &library_flags else &library_flags ++ stepped_atomics;
    addCoreBut(b, core, sqlite, core_flags, tests.planted);
    const core_library = b.addLibrary(.{ .name = "core", .root_module = core });

    // SQLite is not ours to test: no sanitizer's complaints, and optimized.
    const amalgamation = b.createModule(.{
        .target = target,
        .optimize = fast,
        .link_libc = true,
        .sanitize_thread = tests.tsan,
    });
    // The list's hash is a flag as well, or a change of the list would go unnoticed.
    const list = "tests/native/tsan-ignore.txt";
    const hash = comptime blk: {
        @setEvalBranchQuota(100_000);
        break :blk std.hash.Fnv1a_32.hash(@embedFile(list));
    };
    const ignore = .{ "-fsanitize-ignorelist=" ++ list, b.fmt("-DTSAN_IGNORE={d}", .{hash}) };
    amalgamation.addCSourceFile(.{
        .file = sqlite.path(b, "sqlite3.c"),
        .flags = if (tests.tsan) &(sqlite_flags ++ ignore) else &sqlite_flags,
    });
    const sqlite_library = b.addLibrary(.{ .name = "sqlite3", .root_module = amalgamation });

    // What the tests share: the files that are no tests themselves.
    const helpers = b.createModule(options);
    helpers.addCMacro("SQLITE_CORE", "1");
    if (!tests.tsan) helpers.addCMacro("STEP_ATOMICS", "1");
    helpers.addIncludePath(b.path("csrc"));
    helpers.addIncludePath(sqlite);
    for (cFiles(b, "tests/native", ".c")) |file| {
        if (std.mem.endsWith(u8, file, "_test.c")) continue;
        helpers.addCSourceFiles(.{
            .root = b.path("tests/native"),
            .files = &.{file},
            .flags = &helper_flags,
        });
    }
    const helper_library = b.addLibrary(.{ .name = "helpers", .root_module = helpers });

    const folder = if (tests.folder) |folder|
        folder
    else if (tests.planted != null)
        "native-tests-planted"
    else if (tests.tsan) "native-tests-tsan" else "native-tests";
    const dir: Build.InstallDir = .{ .custom = folder };
    // For the C programs in docs/, which tests/docs.test.ts compiles.
    const archive = b.addInstallArtifact(sqlite_library, .{ .dest_dir = .{ .override = dir } });
    step.dependOn(&archive.step);
    const libraries = [_]*Build.Step.Compile{ helper_library, core_library, sqlite_library };
    for (cFiles(b, "tests/native", "_test.c")) |file| {
        const name = std.fs.path.stem(file);
        if (tests.only.len > 0 and !std.mem.eql(u8, tests.only, name)) continue;
        const module = b.createModule(options);
        module.addCMacro("SQLITE_CORE", "1");
        module.addIncludePath(b.path("csrc"));
        module.addIncludePath(sqlite);
        module.addCSourceFiles(.{
            .root = b.path("tests/native"),
            .files = &.{file},
            .flags = &test_flags,
        });
        for (libraries) |library| module.linkLibrary(library);
        const program = b.addExecutable(.{ .name = name, .root_module = module });
        step.dependOn(&b.addInstallArtifact(program, .{ .dest_dir = .{ .override = dir } }).step);
    }
    if (!tests.tsan) addFuzzTests(b, step, sqlite, options, &libraries, dir, tests.only);
}

/// The library as it is shipped, and a program with SQLite that loads it as an extension.
fn addPlatformTest(
    b: *Build,
    step: *Build.Step,
    sqlite: Build.LazyPath,
    target: Build.ResolvedTarget,
    folder: []const u8,
) void {
    const dir: Build.InstallDir = .{ .custom = folder };
    installLibrary(b, step, dir, sqlite, target, fast);
    const module = b.createModule(.{ .target = target, .optimize = fast, .link_libc = true });
    module.addIncludePath(sqlite);
    module.addCSourceFiles(.{
        .root = b.path("tests/platform"),
        .files = cFiles(b, "tests/platform", ".c"),
        .flags = &test_flags,
    });
    const flags = .{ "-DSQLITE_THREADSAFE=1", "-w" };
    module.addCSourceFile(.{ .file = sqlite.path(b, "sqlite3.c"), .flags = &flags });
    const program = b.addExecutable(.{
        .name = "extension_test",
        .root_module = module,
        .linkage = if (target.result.os.tag == .linux) .dynamic else null, // musl's is static
    });
    step.dependOn(&b.addInstallArtifact(program, .{
        .dest_dir = .{ .override = dir },
        .pdb_dir = .disabled,
    }).step);
    if (target.result.os.tag == .windows) addWineLibrary(b, step, target, dir);
}

/// What Bun for Windows needs and Wine has not.
fn addWineLibrary(
    b: *Build,
    step: *Build.Step,
    target: Build.ResolvedTarget,
    dir: Build.InstallDir,
) void {
    const module = b.createModule(.{ .target = target, .optimize = fast, .link_libc = true });
    module.addCSourceFile(.{
        .file = b.path("tests/platform/wine/bcryptprimitives.c"),
        .flags = &test_flags,
    });
    module.linkSystemLibrary("advapi32", .{});
    const library = b.addLibrary(.{
        .name = "bcryptprimitives",
        .linkage = .dynamic,
        .root_module = module,
    });
    step.dependOn(&b.addInstallArtifact(library, .{
        .dest_dir = .{ .override = dir },
        .pdb_dir = .disabled,
        .implib_dir = .disabled,
    }).step);
}

/// One program for every tests/fuzz/*_fuzz.c, with a main() that needs no libFuzzer: see
/// tests/fuzz/fuzz.h.
fn addFuzzTests(
    b: *Build,
    step: *Build.Step,
    sqlite: Build.LazyPath,
    options: Build.Module.CreateOptions,
    libraries: []const *Build.Step.Compile,
    dir: Build.InstallDir,
    only: []const u8,
) void {
    for (cFiles(b, "tests/fuzz", "_fuzz.c")) |target| {
        const name = b.fmt("{s}_test", .{std.fs.path.stem(target)});
        if (only.len > 0 and !std.mem.eql(u8, only, name)) continue;
        const module = b.createModule(options);
        module.addCMacro("SQLITE_CORE", "1");
        module.addIncludePath(b.path("csrc"));
        module.addIncludePath(b.path("tests/native"));
        module.addIncludePath(sqlite);
        for (cFiles(b, "tests/fuzz", ".c")) |file| {
            const is_other_target = std.mem.endsWith(u8, file, "_fuzz.c") and
                !std.mem.eql(u8, file, target);
            if (is_other_target or std.mem.eql(u8, file, "fuzz_start.c")) continue;
            module.addCSourceFiles(.{
                .root = b.path("tests/fuzz"),
                .files = &.{file},
                .flags = &test_flags,
            });
        }
        for (libraries) |library| module.linkLibrary(library);
        const program = b.addExecutable(.{ .name = name, .root_module = module });
        step.dependOn(&b.addInstallArtifact(program, .{ .dest_dir = .{ .override = dir } }).step);
    }
}

/// The tests of the shared library in the SQLite of a folder, by which the program is named.
fn addHostTest(b: *Build, step: *Build.Step, dir: []const u8, target: Build.ResolvedTarget) void {
    const sqlite: Build.LazyPath = .{ .cwd_relative = dir };
    const module = b.createModule(.{ .target = target, .optimize = .Debug, .link_libc = true });
    module.addCMacro("SQLITE_CORE", "1"); // it calls SQLite as a program does, not an extension
    module.addIncludePath(b.path("tests/native"));
    module.addIncludePath(sqlite);
    module.addCSourceFiles(.{
        .root = b.path("tests"),
        .files = &.{ "hosts/host_test.c", "native/harness.c" },
        .flags = &test_flags,
    });
    module.addCSourceFile(.{
        .file = sqlite.path(b, "sqlite3.c"),
        .flags = &.{ "-DSQLITE_THREADSAFE=1", "-fno-sanitize=undefined", "-w" },
    });
    const program = b.addExecutable(.{ .name = std.fs.path.basename(dir), .root_module = module });
    const place: Build.InstallDir = .{ .custom = "hosts" };
    step.dependOn(&b.addInstallArtifact(program, .{ .dest_dir = .{ .override = place } }).step);
}

/// One program of all files in bench/native, with the C core and SQLite; and the slow disk.
fn addNativeBench(
    b: *Build,
    step: *Build.Step,
    sqlite: Build.LazyPath,
    target: Build.ResolvedTarget,
) void {
    const module = b.createModule(.{ .target = target, .optimize = fast, .link_libc = true });
    module.addCMacro("SQLITE_CORE", "1");
    module.addIncludePath(b.path("csrc"));
    addCore(b, module, sqlite);
    module.addCSourceFiles(.{
        .root = b.path("bench/native"),
        .files = cFiles(b, "bench/native", ".c"),
        .flags = &test_flags,
    });
    module.addCSourceFile(.{ .file = sqlite.path(b, "sqlite3.c"), .flags = &sqlite_flags });
    const program = b.addExecutable(.{ .name = "native-bench", .root_module = module });
    const dir: Build.InstallDir = .{ .custom = "native-bench" };
    step.dependOn(&b.addInstallArtifact(program, .{ .dest_dir = .{ .override = dir } }).step);

    const extension = b.createModule(.{ .target = target, .optimize = fast, .link_libc = true });
    extension.addIncludePath(sqlite);
    extension.addCSourceFile(.{ .file = b.path("bench/extension/slow.c"), .flags = &test_flags });
    const library = b.addLibrary(.{
        .name = "slow",
        .linkage = .dynamic,
        .root_module = extension,
    });
    step.dependOn(&b.addInstallArtifact(library, .{ .dest_dir = .{ .override = dir } }).step);
}

/// One library for every tests/preload/*.c, for LD_PRELOAD: nothing where there is no such thing.
fn addPreload(b: *Build, step: *Build.Step, target: Build.ResolvedTarget) void {
    if (target.result.os.tag != .linux) return;
    for (cFiles(b, "tests/preload", ".c")) |file| {
        const module = b.createModule(.{ .target = target, .optimize = fast, .link_libc = true });
        module.addCSourceFiles(.{
            .root = b.path("tests/preload"),
            .files = &.{file},
            .flags = &test_flags,
        });
        const library = b.addLibrary(.{
            .name = std.fs.path.stem(file),
            .linkage = .dynamic,
            .root_module = module,
        });
        const dir: Build.InstallDir = .{ .custom = "preload" };
        step.dependOn(&b.addInstallArtifact(library, .{ .dest_dir = .{ .override = dir } }).step);
    }
}

/// The C files of csrc/, all of them: what a file is for a system is decided inside of it.
fn addCore(b: *Build, module: *Build.Module, sqlite: Build.LazyPath) void {
    addCoreBut(b, module, sqlite, &library_flags, null);
}

/// The same, but with `planted` in the place of the file that has its name.
fn addCoreBut(
    b: *Build,
    module: *Build.Module,
    sqlite: Build.LazyPath,
    flags: []const []const u8,
    planted: ?[]const u8,
) void {
    module.addIncludePath(sqlite);
    for (cFiles(b, "csrc", ".c")) |file| {
        if (planted != null and std.mem.eql(u8, std.fs.path.basename(planted.?), file)) continue;
        module.addCSourceFile(.{ .file = b.path("csrc").path(b, file), .flags = flags });
    }
    const copy = planted orelse return;
    module.addIncludePath(b.path("csrc")); // what it includes lies there
    // A fault may well leave something unused.
    const planted_flags = std.mem.concat(b.allocator, []const u8, &.{ flags, &.{"-w"} });
    module.addCSourceFile(.{
        .file = .{ .cwd_relative = copy },
        .flags = planted_flags catch @panic("OOM"),
    });
}

/// The sorted names of the files in a folder that end in `suffix`; none if there is no such folder.
fn cFiles(b: *Build, folder: []const u8, suffix: []const u8) []const []const u8 {
    const io = b.graph.io;
    var dir = b.build_root.handle.openDir(io, folder, .{ .iterate = true }) catch return &.{};
    defer dir.close(io);

    var names: std.ArrayList([]const u8) = .empty;
    var entries = dir.iterate();
    while (entries.next(io) catch |err| std.process.fatal("{s}: {t}", .{ folder, err })) |entry| {
        if (!std.mem.endsWith(u8, entry.name, suffix)) continue;
        names.append(b.allocator, b.dupe(entry.name)) catch @panic("OOM");
    }
    std.mem.sort([]const u8, names.items, {}, struct {
        fn lessThan(_: void, left: []const u8, right: []const u8) bool {
            return std.mem.lessThan(u8, left, right);
        }
    }.lessThan);
    return names.items;
}
