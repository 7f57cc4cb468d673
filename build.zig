//! Builds libsqlite3async, its native tests and the cross-compilation check.
//!
//!     zig build               zig-out/lib/libsqlite3async.so (.dylib, .dll)
//!     zig build native-tests  zig-out/native-tests/*_test
//!     zig build native-bench  zig-out/native-bench/native-bench
//!     zig build cross         zig-out/cross/TARGET/: the library for each of `cross_targets`
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

/// The porting layer must compile for each of these on any machine.
const cross_targets = [_][]const u8{
    "aarch64-linux-musl",
    "aarch64-macos",
    "x86_64-windows-gnu",
};

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

pub fn build(b: *Build) void {
    const target = b.standardTargetOptions(.{});
    const Optimize = std.builtin.Optimize;
    const optimize = b.option(Optimize, "optimize", "Of the library; default: fast") orelse .fast;
    const tsan = b.option(bool, "tsan", "Native tests with the thread sanitizer") orelse false;
    const sqlite = sqliteDir(b);

    installLibrary(b, b.getInstallStep(), .lib, sqlite, target, optimize);

    const native_tests = b.step("native-tests", "Build the native tests");
    addNativeTests(b, native_tests, sqlite, target, tsan);

    const native_bench = b.step("native-bench", "Build the native benchmarks");
    addNativeBench(b, native_bench, sqlite, target);

    const cross = b.step("cross", "Build the library for foreign targets");
    for (cross_targets) |triple| {
        const query = Build.parseTargetQuery(.{ .arch_os_abi = triple }) catch @panic("bad target");
        const dir: Build.InstallDir = .{ .custom = b.fmt("cross/{s}", .{triple}) };
        installLibrary(b, cross, dir, sqlite, b.resolveTargetQuery(query), .fast);
    }
}

/// The folder with sqlite3.h, sqlite3ext.h and, for the native tests, sqlite3.c.
fn sqliteDir(b: *Build) Build.LazyPath {
    const description = "Folder with SQLite's headers and amalgamation";
    const dir = b.option([]const u8, "sqlite", description) orelse
        std.process.fatal("SQLite's headers: pass -Dsqlite=DIR, or type ./run build", .{});
    return b.graph.cwdRelativePath(dir);
}

fn installLibrary(
    b: *Build,
    step: *Build.Step,
    dir: Build.InstallDir,
    sqlite: Build.LazyPath,
    target: Build.ResolvedTarget,
    optimize: std.builtin.Optimize,
) void {
    const module = b.createModule(.{
        .target = target,
        .optimize = optimize,
        .link_libc = true,
        .pic = true,
        .strip = optimize != .debug,
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
/// exit handlers, so its code must stay mapped after a dlclose().
fn linkElf(b: *Build, module: *Build.Module, target: Build.ResolvedTarget) Build.LazyPath {
    const object = b.addObject(.{ .name = "sqlite3async", .root_module = module });
    const link = b.addSystemCommand(&.{ b.graph.zig_exe, "build-lib", "-dynamic" });
    link.setName("link libsqlite3async.so");
    link.addArgs(&.{ "-z", "nodelete", "-z", "defs", "-fsoname=libsqlite3async.so" });
    link.addArgs(&.{ "-lc", "-lpthread" });
    link.addArgs(&.{ "-target", target.query.zigTriple(b.allocator) catch @panic("OOM") });
    link.addArgs(&.{ "-mcpu", target.query.serializeCpuAlloc(b.allocator) catch @panic("OOM") });
    if (module.strip == true) link.addArg("-fstrip");
    link.addArtifactArg(object);
    return link.addPrefixedOutputFileArg("-femit-bin=", "libsqlite3async.so");
}

/// One program for every tests/native/*_test.c: that file, the C core linked statically as a C
/// program would link it, and SQLite.
fn addNativeTests(
    b: *Build,
    step: *Build.Step,
    sqlite: Build.LazyPath,
    target: Build.ResolvedTarget,
    tsan: bool,
) void {
    const options: Build.Module.CreateOptions = .{
        .target = target,
        .optimize = .debug,
        .link_libc = true,
        .sanitize_c = .full,
        .sanitize_thread = tsan,
    };
    const core = b.createModule(options);
    core.addCMacro("SQLITE_CORE", "1");
    core.addCMacro("fsync", "test_fsync"); // of folders: past the VFS, see tests/native/recorder.h
    addCore(b, core, sqlite);
    const core_library = b.addLibrary(.{ .name = "core", .root_module = core });

    // SQLite is not ours to test: no sanitizer's complaints, and optimized.
    const amalgamation = b.createModule(.{
        .target = target,
        .optimize = .fast,
        .link_libc = true,
        .sanitize_thread = tsan,
    });
    amalgamation.addCSourceFile(.{
        .file = sqlite.path(b, "sqlite3.c"),
        .flags = &sqlite_flags,
    });
    const sqlite_library = b.addLibrary(.{ .name = "sqlite3", .root_module = amalgamation });

    // What the tests share: the files that are no tests themselves.
    const helpers = b.createModule(options);
    helpers.addCMacro("SQLITE_CORE", "1");
    helpers.addIncludePath(b.path("csrc"));
    helpers.addSystemIncludePath(sqlite);
    for (cFiles(b, "tests/native", ".c")) |file| {
        if (std.mem.endsWith(u8, file, "_test.c")) continue;
        helpers.addCSourceFiles(.{
            .root = b.path("tests/native"),
            .files = &.{file},
            .flags = &helper_flags,
        });
    }
    const helper_library = b.addLibrary(.{ .name = "helpers", .root_module = helpers });

    const dir: Build.InstallDir = .{ .custom = if (tsan) "native-tests-tsan" else "native-tests" };
    for (cFiles(b, "tests/native", "_test.c")) |file| {
        const module = b.createModule(options);
        module.addCMacro("SQLITE_CORE", "1");
        module.addIncludePath(b.path("csrc"));
        module.addSystemIncludePath(sqlite);
        module.addCSourceFiles(.{
            .root = b.path("tests/native"),
            .files = &.{file},
            .flags = &test_flags,
        });
        module.linkLibrary(helper_library);
        module.linkLibrary(core_library);
        module.linkLibrary(sqlite_library);
        const program = b.addExecutable(.{ .name = std.fs.path.stem(file), .root_module = module });
        step.dependOn(&b.addInstallArtifact(program, .{ .dest_dir = .{ .override = dir } }).step);
    }
}

/// One program of all files in bench/native, with the C core and SQLite.
fn addNativeBench(
    b: *Build,
    step: *Build.Step,
    sqlite: Build.LazyPath,
    target: Build.ResolvedTarget,
) void {
    const module = b.createModule(.{ .target = target, .optimize = .fast, .link_libc = true });
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
}

/// The C files of csrc/, all of them: what a file is for a system is decided inside of it.
fn addCore(b: *Build, module: *Build.Module, sqlite: Build.LazyPath) void {
    module.addSystemIncludePath(sqlite);
    module.addCSourceFiles(.{
        .root = b.path("csrc"),
        .files = cFiles(b, "csrc", ".c"),
        .flags = &library_flags,
    });
}

/// The sorted names of the files in a folder that end in `suffix`; none if there is no such folder.
fn cFiles(b: *Build, folder: []const u8, suffix: []const u8) []const []const u8 {
    const io = b.graph.io;
    var dir = b.root.openDir(io, folder, .{ .iterate = true }) catch {
        b.graph.poisonCache(); // so that the folder is looked for again next time
        return &.{};
    };
    defer dir.close(io);
    b.dependOnDirectoryContents(b.path(folder));

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
