//! Devices ([spec]). They live in the `User` object together with their tokens: a device is there
//! as long as its session is, or the [dehydrated](super::dehydrated_device) one.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#device-management

use ruma::{
    DeviceId, MilliSecondsSinceUnixEpoch, OwnedDeviceId, UInt, UserId,
    api::client::device::{
        Device, delete_device, delete_devices, get_device, get_devices, update_device,
    },
};

use super::{
    super::{
        Cx,
        access::{Verified, change_account},
        mount::Routes,
    },
    uiaa,
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{self, EndSessions, GetDevice, ListDevices, SetDeviceName},
    },
};

/// The most bytes of a device ID that a client chooses.
pub const MAX_DEVICE_ID_BYTES: usize = 255;
/// The most bytes of a device's name.
pub const MAX_DEVICE_NAME_BYTES: usize = 256;

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(get_devices)
        .mount(get_device)
        .mount(update_device)
        .mount(delete_device)
        .mount(delete_devices)
}

/// `GET /_matrix/client/*/devices`
pub async fn get_devices(
    cx: Cx,
    caller: Caller,
    _: get_devices::v3::Request,
) -> Result<get_devices::v3::Response> {
    let devices = cx.ports.objects.ask(&*caller.user_id, ListDevices {}).await?;
    Ok(get_devices::v3::Response::new(devices.into_iter().map(shown).collect()))
}

/// `GET /_matrix/client/*/devices/{deviceId}`
pub async fn get_device(
    cx: Cx,
    caller: Caller,
    request: get_device::v3::Request,
) -> Result<get_device::v3::Response> {
    let device_id = request.device_id;
    let device = cx.ports.objects.ask(&*caller.user_id, GetDevice { device_id }).await?;
    let device = device.ok_or_else(no_such_device)?;
    Ok(get_device::v3::Response::new(shown(device)))
}

/// `PUT /_matrix/client/*/devices/{deviceId}`
pub async fn update_device(
    cx: Cx,
    Verified(caller): Verified,
    request: update_device::v3::Request,
) -> Result<update_device::v3::Response> {
    request.display_name.as_deref().map_or(Ok(()), check_name)?;
    let (user_id, device_id) = (&*caller.user_id, request.device_id);
    let is_there = match request.display_name {
        Some(display_name) => {
            cx.ports.objects.ask(user_id, SetDeviceName { device_id, display_name }).await?
        }
        None => cx.ports.objects.ask(user_id, GetDevice { device_id }).await?.is_some(),
    };
    is_there.then(update_device::v3::Response::new).ok_or_else(no_such_device)
}

/// `DELETE /_matrix/client/*/devices/{deviceId}`
pub async fn delete_device(
    cx: Cx,
    Verified(caller): Verified,
    request: delete_device::v3::Request,
) -> Result<delete_device::v3::Response> {
    let operation = format!("delete device {}", request.device_id);
    uiaa::require_password(&cx, &caller, &operation, request.auth.as_ref()).await?;
    remove(&cx, &caller.user_id, vec![request.device_id]).await?;
    Ok(delete_device::v3::Response::new())
}

/// `POST /_matrix/client/*/delete_devices`
pub async fn delete_devices(
    cx: Cx,
    Verified(caller): Verified,
    request: delete_devices::v3::Request,
) -> Result<delete_devices::v3::Response> {
    let operation = format!("delete devices {:?}", request.devices);
    uiaa::require_password(&cx, &caller, &operation, request.auth.as_ref()).await?;
    remove(&cx, &caller.user_id, request.devices).await?;
    Ok(delete_devices::v3::Response::new())
}

/// Checks the ID of a device.
pub fn check_id(device_id: &DeviceId) -> Result<()> {
    match device_id.as_str().len() {
        1..=MAX_DEVICE_ID_BYTES => Ok(()),
        _ => {
            let message = format!("a device ID has 1 to {MAX_DEVICE_ID_BYTES} bytes");
            Err(Error::invalid_param(message))
        }
    }
}

/// Checks the name of a device.
pub fn check_name(name: &str) -> Result<()> {
    if name.len() > MAX_DEVICE_NAME_BYTES {
        let message = format!("a device's name has at most {MAX_DEVICE_NAME_BYTES} bytes");
        return Err(Error::invalid_param(message));
    }
    Ok(())
}

/// Ends these sessions and removes these devices.
async fn remove(cx: &Cx, user_id: &UserId, device_ids: Vec<OwnedDeviceId>) -> Result<()> {
    change_account(cx, user_id, EndSessions { device_ids }).await
}

fn no_such_device() -> Error {
    Error::not_found("there is no such device")
}

fn shown(device: user::Device) -> Device {
    let mut shown = Device::new(device.device_id);
    shown.display_name = device.display_name;
    shown.last_seen_ip = device.last_seen_ip;
    let last_seen_ms = device.last_seen_ms.and_then(|it| UInt::try_from(it).ok());
    shown.last_seen_ts = last_seen_ms.map(MilliSecondsSinceUnixEpoch);
    shown
}
