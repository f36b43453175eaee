// Says in words what the browser keeps to its console when it gives or makes no passkey.
document.addEventListener('allauth.error', function (event) {
  const fault = document.getElementById('passkey-fault')
  if (fault) {
    event.preventDefault()
    fault.hidden = false
    fault.scrollIntoView({ block: 'nearest' })
  }
})
