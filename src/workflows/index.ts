/** The workflows of a worker; the entry of the prebuilt bundle. */
export { BottleLaunch } from './bottle-launch.ts';
