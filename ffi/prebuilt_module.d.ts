/**
 * What each generated module in prebuilt/ is.
 *
 * @module
 */
import type { Prebuilt } from "./prebuilt.ts";

/** The library. */
export declare const prebuilt: Prebuilt;
